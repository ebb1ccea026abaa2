"""Experiments that differ in their seed alone, as mean and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.analysis.differences import NAMES, unique_names
from core.analysis.ranking import FigureKey, figure
from core.experiments.reading import Experiment

SEED = "experiment.seed"


@dataclass(frozen=True)
class SeedSummary:
    """One configuration, run with several seeds by `members`, their unique names.

    `figures` holds, for each figure, its mean, sample standard deviation, lowest and highest.
    `same_images` is false where the seed also chose other test images: the spread then includes
    that of the split.
    """

    members: tuple[str, ...]
    seeds: tuple[Any, ...]
    figures: dict[str, dict[str, float]]
    same_images: bool


def summarise_seeds(
    experiments: Sequence[Experiment], images: dict[str, str], keys: Mapping[str, FigureKey]
) -> list[SeedSummary]:
    """Mean and spread of the figures `keys` of each configuration run with at least two seeds.

    `images` names the test images of each experiment by its path.
    """
    alike: dict[str, list[tuple[str, Experiment]]] = {}
    for name, experiment in zip(unique_names(experiments), experiments, strict=True):
        config = experiment.config.items()
        values = sorted((k, repr(v)) for k, v in config if k not in (*NAMES, SEED))
        key = repr((experiment.look_up("data", "fingerprint"), values))
        alike.setdefault(key, []).append((name, experiment))
    summaries = []
    for named in alike.values():
        named = sorted(named, key=lambda one: str(one[1].config.get(SEED)))
        names, members = zip(*named, strict=True)
        seeds = tuple(one.config.get(SEED) for one in members)
        if len(set(seeds)) > 1:
            same_images = len({images[str(one.path)] for one in members}) == 1
            summaries.append(SeedSummary(names, seeds, _spread(members, keys), same_images))
    return summaries


def _spread(
    members: Sequence[Experiment], keys: Mapping[str, FigureKey]
) -> dict[str, dict[str, float]]:
    figures = {}
    for name, key in keys.items():
        values = [value for one in members if (value := figure(one, key)) is not None]
        if len(values) > 1:
            figures[name] = {
                "mean": float(np.mean(values)),
                "standard_deviation": float(np.std(values, ddof=1)),
                "lowest": min(values),
                "highest": max(values),
            }
    return figures
