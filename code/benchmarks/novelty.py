"""How well each detector of novelty finds what it has never seen: one sweep over three seeds.

Photographs of magnetic tiles, procedural strips, and a curve over the number of clean strips. Each
finished row is a file and is not repeated: after an interruption, the same command goes on.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.novelty_scores import VARIANTS, PoolDetectors, Scoring
from benchmarks.novelty_strips import Pool, draw_pool, read_tiles
from benchmarks.novelty_table import tables
from benchmarks.options import Options
from benchmarks.sweep import check_names, keep_settings
from core.command.terminal import show
from core.files.reading import read_json
from core.files.writing import to_json, write_json
from core.novelty.detectors.autoencoder import AutoencoderDetector
from core.novelty.evaluation import KnownStrips, evaluate
from core.novelty.threshold import choose_threshold, false_alarms

_RATE = 5
_TILE_SCORING, _STRIP_SCORING = Scoring(16, 20), Scoring(8, 5)
_MASK_STEP = 4
_NUM_FITTED = (20, 50, 100, 200, 400)
_ON_TILES = tuple(VARIANTS)
_IN_CURVE = ("high_pass", "memory_bank", "gaussian", "gaussian_fine")
_SETTINGS = ("image_size", "num_images", "test_images", "num_steps")

Key = tuple[str, str, int, int]
"""Part of the sweep, detector, number of clean strips (0: half of them), and seed."""


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for each part, detector, number of clean strips and seed that is finished.

    Raises:
        InputError: an unknown detector, or a folder of a sweep with other settings.
    """
    check_names("--detectors", options.detectors, VARIANTS)
    sweep = Sweep(options)
    if not options.only_table:
        sweep.run()
    rows = [read_json(sweep.file(key)) for key in sweep.planned() if sweep.file(key).exists()]
    return rows, tables(rows)


@dataclass(frozen=True)
class Sweep:
    """The rows of a sweep, in a file each."""

    options: Options

    def planned(self) -> list[Key]:
        """What belongs to the sweep, in its order; what is trained comes last."""
        options = self.options
        wanted: list[Key] = []
        for seed in options.seeds:
            if options.data_root is not None or options.only_table:
                wanted += [("tiles", name, 0, seed) for name in _ON_TILES]
            wanted += [("strips", name, 0, seed) for name in VARIANTS]
            numbers = [number for number in _NUM_FITTED if number <= options.num_images // 2]
            wanted += [("curve", *key, seed) for key in product(_IN_CURVE, numbers)]
        chosen = [key for key in wanted if key[1] in options.detectors]
        return sorted(chosen, key=lambda key: (_is_trained(key[1]), key[0] != "tiles"))

    def file(self, key: Key) -> Path:
        """Where a finished row is."""
        return self.options.sweep_dir / "rows" / f"{'_'.join(map(str, key))}.json"

    def run(self) -> None:
        """Compute what is not finished."""
        keep_settings(self.options.sweep_dir, self.options, _SETTINGS)
        if self.options.data_root is not None:
            keep_settings(self.options.sweep_dir / "tiles", self.options, ("data_root",))
        for key in self.planned():
            if not self.file(key).exists():
                start = time.process_time()
                row = self._row(*key)
                row["cpu_seconds"] = time.process_time() - start
                self.file(key).parent.mkdir(parents=True, exist_ok=True)
                write_json(self.file(key), to_json(row))
                show(f"{' '.join(map(str, key))}  {row['cpu_seconds']:.0f} s")

    def _row(self, part: str, name: str, number: int, seed: int) -> dict[str, Any]:
        detectors = self._tiles if part == "tiles" else self._strips
        scoring = _TILE_SCORING if part == "tiles" else _STRIP_SCORING
        pool = detectors.pool
        fit, clean, tested = pool.parts(seed)
        if number:
            fit = np.random.default_rng(seed).permutation(fit)[:number]
        detector = detectors.fitted(name, fit, seed)
        own, _ = detectors.scored(detector, clean, scoring)
        found, maps = detectors.scored(detector, tested, scoring)
        threshold = choose_threshold(own, _RATE, pool.groups[clean])
        row = {"part": part, "detector": name, "number": number or len(fit), "seed": seed}
        if part == "curve":
            return row | self._of_curve(pool, tested, (own, found), fit.size)
        known = KnownStrips(pool.labels[tested], pool.class_names, pool.groups[tested])
        row |= {"threshold": threshold.record(), "test": evaluate(found, threshold, known)}
        if isinstance(detector, AutoencoderDetector):
            clean_tested = tested[~pool.labels[tested].any(axis=1)]
            row["reconstruction"] = detectors.reconstruction(detector, clean_tested)
        if pool.masks:
            row["pixel_auroc"] = pixel_auroc(maps, [pool.masks[i] for i in tested])
        return row

    def _of_curve(
        self, pool: Pool, tested: np.ndarray, scores: tuple[np.ndarray, np.ndarray], number: int
    ) -> dict[str, Any]:
        """Few strips also set the threshold: as many as were learned from, at most all of them."""
        threshold = choose_threshold(scores[0][:number], _RATE)
        novel = pool.labels[tested].any(axis=1)
        alarms = false_alarms(scores[1][~novel], threshold.threshold)
        return {"auroc": auroc(scores[1], novel), "false_alarms": alarms}

    @cached_property
    def _tiles(self) -> PoolDetectors:
        pool = read_tiles(self.options.data_root)
        return PoolDetectors(pool, self.options.num_steps, self.options.threads)

    @cached_property
    def _strips(self) -> PoolDetectors:
        options = self.options
        pool = draw_pool(options.num_images, options.test_images, options.image_size)
        return PoolDetectors(pool, options.num_steps, options.threads)


def _is_trained(name: str) -> bool:
    return VARIANTS[name].detector in ("autoencoder", "synthetic_defects")


def pixel_auroc(maps: torch.Tensor, masks: list[np.ndarray | None]) -> float:
    """Of every fourth pixel in each direction of the images whose masks are known."""
    known = [row for row, mask in enumerate(masks) if mask is not None]
    truth = np.stack([masks[row][::_MASK_STEP, ::_MASK_STEP] for row in known]) > 0
    heat = torch.nn.functional.interpolate(maps[known][:, None], truth.shape[1:], mode="bilinear")
    return auroc(heat.numpy().ravel(), truth.ravel())


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The probability that a positive one has the higher score; equal ones count half."""
    values, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    number = int(positive.sum())
    above = float(ranks[positive].sum()) - number * (number + 1) / 2
    return above / (number * (len(values[places]) - number))
