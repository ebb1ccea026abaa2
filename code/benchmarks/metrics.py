"""Figures with intervals for a test part as large as that of the real data set."""

from functools import partial
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.split import label_table
from core.metrics.intervals import Bootstrap, bootstrap_intervals

ITEM = "table"
NUM_IMAGES, RESAMPLES = 1886, 100
NAMES = ("defect_1", "defect_2", "defect_3", "defect_4")


def contenders(options: Options, folder: Path) -> list[Contender]:
    """A loop of scikit-learn over resamples first; ours also has BCa and bounds at 0 and 1."""
    labels = label_table(NUM_IMAGES)
    generator = np.random.default_rng(1)
    logits = 3 * labels - 2 + generator.normal(size=labels.shape)
    probabilities = 1 / (1 + np.exp(-logits))
    ours = partial(
        bootstrap_intervals, labels, probabilities, NAMES, 0.5, Bootstrap(resamples=RESAMPLES)
    )
    return [
        Contender("scikit-learn in a loop", partial(plain_intervals, labels, probabilities), 1),
        Contender("ours, BCa within label sets", ours, 1),
    ]


def plain_intervals(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Percentile intervals of F1, average precision and AUROC per class and macro."""
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        rows = generator.integers(0, len(labels), len(labels))
        y, p = labels[rows], probabilities[rows]
        figures = [
            f1_score(y, p >= 0.5, average=None, zero_division=0),
            average_precision_score(y, p, average=None),
            roc_auc_score(y, p, average=None),
        ]
        draws.append(np.concatenate([*figures, [figure.mean() for figure in figures]]))
    return np.percentile(draws, [2.5, 97.5], axis=0)
