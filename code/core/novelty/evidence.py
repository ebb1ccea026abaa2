"""What the report draws from: the score of each strip, and pictures of the hottest ones."""

from pathlib import Path

import numpy as np
import torch

from core.files.tables import write_table
from core.novelty.choosing import Chosen, as_batch
from core.novelty.pictures import HotStrip, write_pictures
from core.novelty.score import ScoredDetector, hottest_box

SCORES_FILE = "scores.csv"
HOTTEST_FOLDER = "hottest"
MOST_PICTURES = 8

Scores = list[np.ndarray]
"""Of each detector, the first one's before the baseline's. Shape: (strips,)"""


def write_scores(folder: Path, chosen: Chosen, clean: Scores, tested: Scores) -> None:
    """Write scores.csv: the strips that set the threshold, and those of the test with labels."""
    names = list(chosen.tested.class_names)
    rows = []
    unlabelled = np.zeros((len(chosen.threshold), len(names)), int)
    for name, part, labels, scores in (
        ("threshold", chosen.threshold, unlabelled, clean),
        ("test", chosen.test, chosen.tested.labels.astype(int), tested),
    ):
        for place, row in enumerate(part.rows.tolist()):
            own = [float(each[place]) for each in (scores[0], scores[-1])]
            rows.append([str(part.strips.names[row]), name, *own, *labels[place].tolist()])
    header = ["image", "part", "score", "high_pass", *names]
    write_table(folder / SCORES_FILE, header, rows, float_format=".9g")


@torch.inference_mode()
def write_hottest(
    folder: Path, chosen: Chosen, scored: ScoredDetector, scores: np.ndarray, threshold: float
) -> None:
    """Write pictures of the strips of the test with the highest scores. Shape: scores (strips,)"""
    part, strips = chosen.test, []
    device = next((each.device for each in scored.parameters()), torch.device("cpu"))
    for place in np.argsort(-scores, kind="stable")[:MOST_PICTURES].tolist():
        row = int(part.rows[place])
        images = as_batch([part.strips.images.read(row)])
        heat = scored(images.to(device))[1][0].cpu().numpy()
        box = hottest_box(heat, tuple(images.shape[-2:]), scored.detector.stride)
        name, score = str(part.strips.names[row]), float(scores[place])
        alarm = score > threshold
        strips.append(HotStrip(score, place, name, alarm, box, heat, images[0].numpy()))
    if strips:
        (folder / HOTTEST_FOLDER).mkdir(exist_ok=True)
        write_pictures(folder / HOTTEST_FOLDER, strips)
