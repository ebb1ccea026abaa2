"""A whole review on procedural strips: which planted label errors it finds, and what that is worth.

Errors of each kind are planted. A cross-validation ranks the labels; a simulated reviewer decides
on the first ones through a running workbench; the same network is trained with the given labels,
with the decided ones and with the true ones, and tested on other strips, whose labels are right.
What is finished is a folder, and is not repeated: after an interruption, the same command goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.options import Options
from benchmarks.review_reviewer import Truth, review
from benchmarks.review_table import Found, Trained, found_rows, tables, worth_rows
from benchmarks.sweep import check_names, keep_settings
from benchmarks.workload import training_config
from core.command.config import TrainConfig
from core.command.terminal import show
from core.data.label_table import LabelTable
from core.data.weak_supervision import NoiseKind
from core.experiments.reading import read_results
from core.files.tables import read_records, write_table
from core.review.overlay import write_corrections
from core.review.store import ReviewStore
from core.review.verdicts import current_verdicts
from core.running.composition import train
from core.running.cross_validation import cross_validate
from core.running.loading import read_table
from core.running.reevaluation import reevaluate
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

KINDS: tuple[str, ...] = get_args(NoiseKind)
SHARE = 0.05
"""Of the images with a planted error, and of the list that is reviewed."""
_GIVEN, _REVIEWED, _TRUE = "given", "reviewed", "true"
_SETTINGS = ("image_size", "num_images", "test_images", "num_epochs")
_FOLDS, _TEST_SEED, _CLASS_SHARES = 5, 4242, (0.15,) * 4
# The trainings are tested on other strips: of these, the parts for validation and test are small.
_PARTS = {"test": 0.025, "validation": 0.125}


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Rows of what was found of each kind, and of what retraining was worth.

    Raises:
        InputError: an unknown kind, or a folder of a run with other settings.
    """
    check_names("--kinds", options.kinds, KINDS)
    keep_settings(options.sweep_dir, options, _SETTINGS)
    loop = Loop(options)
    if not options.only_table:
        loop.run()
    found = found_rows(loop.found())
    worth = worth_rows(loop.trained())
    return found + worth, tables(found, worth)


@dataclass(frozen=True)
class Loop:
    """The steps of the loop, in a folder each."""

    options: Options

    @property
    def folder(self) -> Path:
        return self.options.sweep_dir

    def run(self) -> None:
        """Do what is not finished."""
        for kind in self.options.kinds:
            if self._finished(f"folds_{kind}") is None:
                show(f"{kind}: cross-validation")
                cross_validate(self._folds(kind), self._begun(f"folds_{kind}"))
            if not self._corrections(kind).exists():
                show(f"{kind}: review")
                self._review(kind)
        for kind, labels, seed in self._planned():
            name = _name(kind, labels, seed)
            if self._finished(name) is None:
                show(name.replace("_", " "))
                train(self._training(kind, labels, seed))
            if not self._evaluations(name):
                reevaluate(self._finished(name), self._test_strips())

    def found(self) -> Iterator[Found]:
        """What the finished reviews found."""
        for kind in self.options.kinds:
            if self._corrections(kind).exists():
                path = self._finished(f"folds_{kind}")
                yield Found(kind, path, self._corrections(kind), self._truth(kind))

    def trained(self) -> Iterator[Trained]:
        """The finished trainings."""
        for kind, labels, seed in self._planned():
            for path in self._evaluations(_name(kind, labels, seed)):
                yield Trained(kind, labels, seed, path)

    def _planned(self) -> Iterator[tuple[str, str, int]]:
        for seed in self.options.seeds:
            yield "", _TRUE, seed
            for kind, labels in product(self.options.kinds, (_GIVEN, _REVIEWED)):
                yield kind, labels, seed

    def _finished(self, name: str) -> Path | None:
        path = self._begun(name)
        return path if path and read_results(path).get("status") == "completed" else None

    def _begun(self, name: str) -> Path | None:
        """The last folder of this name; an earlier one was begun in vain."""
        files = sorted((self.folder / name).glob("*/results.json"))
        return files[-1].parent if files else None

    def _evaluations(self, name: str) -> list[Path]:
        path = self._finished(name)
        return sorted(path.glob("evaluation_*"))[:1] if path else []

    def _corrections(self, kind: str) -> Path:
        return self.folder / f"review_{kind}" / "corrections.csv"

    def _review(self, kind: str) -> None:
        """Decide on the first strips of the list, and export what was decided."""
        store = self._corrections(kind).with_name("decisions.sqlite")
        store.parent.mkdir(parents=True, exist_ok=True)
        number = round(SHARE * self.options.num_images)
        folds = self.folder / f"folds_{kind}"
        review(folds, store, self._truth(kind), number, self.options.seeds[0])
        decided = ReviewStore(store)
        write_corrections(
            self._corrections(kind), current_verdicts(decided.entries()), decided.fingerprint()
        )

    def _truth(self, kind: str) -> Truth:
        """The true labels of all strips, and which of them were given wrongly."""
        path = self._finished(f"folds_{kind}") / "flipped_labels.csv"
        flips = {
            (row["image_id"], row["class_name"])
            for _, row in read_records(path, ("image_id", "class_name"))
        }
        table = self._clean_table
        labels = dict(zip(table.image_ids, table.labels.astype(int).tolist(), strict=True))
        return Truth(table.class_names, labels, flips)

    @cached_property
    def _clean_table(self) -> LabelTable:
        return read_table(self._config("", self.options.seeds[0]).data)

    def _test_strips(self) -> Path:
        settings = StripSettings(
            self.options.test_images, self.options.image_size, _CLASS_SHARES, _TEST_SEED
        )
        return ensure_strips(self.folder / "strips", settings)

    def _folds(self, kind: str) -> TrainConfig:
        more = [f"training.folds={_FOLDS}"]
        return self._config(f"folds_{kind}", self.options.seeds[0], kind, more)

    def _training(self, kind: str, labels: str, seed: int) -> TrainConfig:
        corrections = self._corrections(kind) if labels == _REVIEWED else None
        split_file = self.folder / f"split_{seed}.csv"
        if not split_file.exists():
            names = np.random.default_rng(seed).permutation(self._clean_table.image_ids).tolist()
            write_table(split_file, ("image_id", "split"), _parts(names))
        words = ["data.split_strategy=file", f"data.split_file={split_file}"]
        words += [f"data.corrections={corrections}"] if corrections else []
        return self._config(_name(kind, labels, seed), seed, kind, words)

    def _config(
        self, name: str, seed: int, kind: str = "", more: Sequence[str] = ()
    ) -> TrainConfig:
        """The config of a training with planted errors of this kind; none without a kind."""
        options, size = self.options, ",".join(map(str, self.options.image_size))
        words = [
            "data=synthetic", f"data.root={self.folder / 'strips'}", f"data.image_size=[{size}]",
            f"data.num_images={options.num_images}", f"data.class_shares={list(_CLASS_SHARES)}",
            "data.batch_size=8", "data.cache=memory", "data.group_duplicates=false",
            "model=resnet10_slim", "model.pooling=average_max", "model.pretrained=false",
            "loss=bce_with_logits", "augmentation.rotation=null",
            "augmentation.brightness_contrast=null", "augmentation.gaussian_blur=null",
            f"training.num_epochs={options.num_epochs}", "training.learning_rate=4e-3",
            f"training.warmup_epochs={0.15 * options.num_epochs:.3f}",
            "training.tested_epoch=last", "training.early_stopping_patience=null",
            "evaluation.bootstrap_resamples=100", f"experiment.seed={seed}",
            f"experiment.results_dir={self.folder / name}", "runtime.precision=float32",
            "runtime.channels_last=false", f"runtime.num_threads={options.threads}", *more,
        ]  # fmt: skip
        words += [f"data.label_noise={SHARE}", f"data.label_noise_kind={kind}"] if kind else []
        return training_config(words)


def _name(kind: str, labels: str, seed: int) -> str:
    return "_".join(filter(None, (kind, labels, str(seed))))


def _parts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The part of each image: the first ones are for test and validation."""
    ends = {part: max(1, round(share * len(names))) for part, share in _PARTS.items()}
    for place, name in enumerate(names):
        if place < ends["test"]:
            yield name, "test"
        else:
            yield name, "validation" if place < sum(ends.values()) else "train"
