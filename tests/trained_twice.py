"""Made-up experiments on given and on corrected labels, and a review of their test strips."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results

from core.review.decisions import Decision
from core.review.store import ReviewStore

FINGERPRINT = "cd" * 32
SEEDS = (1, 2, 3)


def write_given(results_dir: Path, seed: int, quality: float = 2.0, **how: Any) -> Path:
    """A training on the given labels."""
    folder = write_experiment(
        results_dir, name=how.pop("name", f"given_{seed}"), seed=seed, quality=quality, **how
    )
    results = read_results(folder)
    results["data"]["fingerprint"] = FINGERPRINT
    write_results(folder, results)
    return folder


def write_corrected(
    results_dir: Path, seed: int, quality: float = 2.0, sha256: str = "ef" * 32, **how: Any
) -> Path:
    """A training with `data.corrections`."""
    name = how.pop("name", f"corrected_{seed}")
    folder = write_given(results_dir, seed, quality, name=name, **how)
    results = read_results(folder)
    results["data"] |= {
        "fingerprint": "01" * 32,
        "corrections": {"file": "c.csv", "sha256": sha256, "given_fingerprint": FINGERPRINT},
    }
    results["config"]["data"]["corrections"] = "c.csv"
    write_results(folder, results)
    return folder


def write_both(
    results_dir: Path,
    images: int,
    quality: float = 2.0,
    gained: float = 0.0,
    seeds: Iterable[int] = SEEDS,
) -> None:
    """Trainings of these seeds on both, with so many strips in each part."""
    for seed in seeds:
        write_given(results_dir, seed, quality, images=images)
        write_corrected(results_dir, seed, quality + gained, images=images)


def given_labels(folder: Path) -> dict[str, list[int]]:
    """The labels of the test strips in predictions.csv."""
    with (folder / "predictions.csv").open(newline="") as stream:
        return {
            row["image_id"]: [int(row[f"label_{name}"]) for name in CLASS_NAMES]
            for row in csv.DictReader(stream)
            if row["split"] == "test"
        }


def decide(
    store: ReviewStore,
    given: Mapping[str, list[int]],
    wanted: Mapping[str, list[int | None]],
    **how: Any,
) -> None:
    """Decide on the strips of `wanted`: their labels, None for unsure."""
    usual = {"reviewer": "Ann", "fingerprint": FINGERPRINT, "sample": "random", "blind": True}
    store.append(
        [
            Decision(**usual | {"image_id": image_id, "class_name": name, "given": bool(before),
                                "decided": _decided(before, label)} | how)
            for image_id, labels in wanted.items()
            for name, before, label in zip(CLASS_NAMES, given[image_id], labels, strict=True)
        ]
    )  # fmt: skip


def _decided(given: int, wanted: int | None) -> str:
    if wanted is None:
        return "unsure"
    return "keep" if given == wanted else ("set" if wanted else "clear")


def write_review(path: Path, results_dir: Path, number: int | None = None) -> ReviewStore:
    """Blind decisions on the first test strips; the first strip is changed, and so are five
    training strips, which are no part of the sample."""
    store = ReviewStore(path, create=True)
    given = given_labels(results_dir / "given_1")
    wanted: dict[str, list[int | None]] = dict(list(given.items())[:number])
    first = next(iter(wanted))
    wanted[first] = [1 - wanted[first][0], *wanted[first][1:]]
    decide(store, given, wanted)
    lines = (results_dir / "given_1" / "split.csv").read_text().splitlines()
    trained = [line.partition(",")[0] for line in lines if line.endswith(",train")][:5]
    clean, pitted = ({name: [first, 0, 0, 0] for name in trained} for first in (0, 1))
    decide(store, clean, pitted, sample="ranked", blind=False)
    return store
