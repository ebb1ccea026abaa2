"""What pretraining without labels gains where labels are few: a sweep on one data set.

It is of procedural strips, or of photographs. Networks from scratch, from each method of
pretraining and from ImageNet weights learn from a few labelled ones, with as many steps each.
Every run is a folder, and a finished one is not repeated: after an interruption, the same command
goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from benchmarks.options import Options
from benchmarks.pretraining_strips import MOST_LABELLED, Photographs, ProceduralStrips
from benchmarks.pretraining_table import Fine, rows_of, table_of
from benchmarks.sweep import check_names, keep_settings
from benchmarks.workload import CONFIG_DIR, training_config
from core.analysis.text_tables import number
from core.command.terminal import show
from core.errors import InputError
from core.experiments.reading import read_results
from core.pretraining import command
from core.pretraining.composition import pretrain
from core.pretraining.encoder import ENCODER_FILE
from core.running.composition import train

_SETTINGS = ("data_root", "image_size", "num_images", "test_images", "num_steps", "num_epochs")

_SLIM = ("model=resnet10_slim", "model.pooling=average_max", "model.pretrained=false")
_MASKS = "model.mask_head=true"
_FROM_SCRATCH = (*_SLIM, "training.learning_rate=4e-3")
# As config/experiment/few_strips.yaml, but for the head alone: all have as many steps.
_LITE = (
    "model=efficientnet_lite0", "model.pooling=average_max", "model.freeze_stages=2",
    "model.freeze_batch_norm=true", "training.learning_rate=1e-3", "training.layer_decay=0.7",
)  # fmt: skip
_TWO_VIEWS = ("data.batch_size=32", "training.learning_rate=1e-3")
_PAINTED = ("data.batch_size=8", "training.learning_rate=4e-3")


@dataclass(frozen=True)
class Start:
    """Initial weights: of a pretraining if there is a method, and how the training goes on.

    `beside` names the start that it is compared with: the same network from scratch.
    """

    training: tuple[str, ...] = _FROM_SCRATCH
    method: str | None = None
    pretraining: tuple[str, ...] = ()
    beside: str | None = "scratch"


# CLIP is left out, since it learns from labels.
STARTS = {
    "scratch": Start(beside=None),
    "scratch_mask_head": Start((*_FROM_SCRATCH, _MASKS)),
    "synthetic_defects": Start(
        (*_FROM_SCRATCH, _MASKS), "synthetic_defects", _PAINTED, "scratch_mask_head"
    ),
    "imagenet": Start(_LITE),
    "synthetic_defects_backbone": Start(method="synthetic_defects", pretraining=_PAINTED),
    **{
        name: Start(method=name, pretraining=_TWO_VIEWS)
        for name in ("simclr", "vicreg", "barlow_twins", "moco")
    },
}


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for each start and number of labels, of all finished runs, and their table.

    Raises:
        InputError: an unknown start, one that needs masks where there are none, or a folder of a
            sweep with other settings.
    """
    check_names("--starts", options.starts, STARTS)
    if options.data_root is None and max(options.labels) > MOST_LABELLED:
        raise InputError(f"--labels {max(options.labels)}: expected at most {MOST_LABELLED}")
    sweep = Sweep(options)
    if not options.only_table:
        sweep.run()
    fine = [Fine(*key, path) for key in sweep.runs() if (path := sweep.finished("trained", key))]
    beside = {name: start.beside for name, start in STARTS.items()}
    rows = rows_of(fine, beside)
    lines = [table_of(rows), *sweep.retrievals()]
    if options.data_root is not None:
        lines.append(f"Labels are those of each class of {options.data_root}.")
    return rows, "\n".join(lines)


class Sweep:
    """The runs of a sweep, in a folder each."""

    def __init__(self, options: Options) -> None:
        self.options, self.folder = options, options.sweep_dir
        strips, size, root = self.folder / "strips", options.image_size, options.data_root
        if root is None:
            self.strips = ProceduralStrips(strips, size, options.num_images, options.test_images)
        else:
            self.strips = Photographs(strips, root, size)
            self._check_masks()
        keep_settings(self.folder, options, _SETTINGS)

    def runs(self) -> Iterator[tuple[str, int, int]]:
        """Start, number of labels and seed of each run, in their order."""
        options = self.options
        for labels, start, seed in product(options.labels, options.starts, options.seeds):
            yield start, labels, seed

    def _check_masks(self) -> None:
        for name in self.options.starts:
            if _MASKS in STARTS[name].training and not self.strips.has_masks:
                raise InputError(
                    f"--starts {name}: trains a mask head, and {self.options.data_root} has no "
                    "masks: leave it out"
                )

    def run(self) -> None:
        """Run what is not finished."""
        for key in self.runs():
            if self.finished("trained", key) is None:
                show(" ".join(map(str, key)))
                self._train(*key)

    def finished(self, kind: str, key: tuple[Any, ...]) -> Path | None:
        """The folder of the completed run of this kind, if any."""
        folders = (self.folder / kind / "_".join(map(str, key))).glob("*/results.json")
        for file in sorted(folders):
            if read_results(file.parent).get("status") == "completed":
                return file.parent
        return None

    def retrievals(self) -> Iterator[str]:
        """How often each method that compares views finds the second view of an image."""
        for name in self.options.starts:
            found = [
                self.finished("pretrained", (STARTS[name].method, s)) for s in self.options.seeds
            ]
            tests = [read_results(path)["test"] for path in found if path is not None]
            if values := [number(test["retrieval"]) for test in tests if "retrieval" in test]:
                yield f"{name}: retrieval of the second view {', '.join(values)} after pretraining"

    def _train(self, name: str, labels: int, seed: int) -> None:
        start = STARTS[name]
        root, split_file, num_train = self.strips.labelled(labels, seed)
        epochs = max(1, round(self.options.num_steps / -(-num_train // 8)))
        words = ["data=severstal", f"data.root={root}", "data.batch_size=8"]
        words += ["data.split_strategy=file", f"data.split_file={split_file}"]
        grouped = str(self.options.data_root is not None).lower()
        words += [f"data.group_duplicates={grouped}"]
        words += ["data.missing_masks=ignore"] if self.strips.has_masks else []
        words += ["loss=bce_with_logits"]
        words += [f"augmentation.{key}=null" for key in ("rotation", "gaussian_blur")]
        words += ["augmentation.brightness_contrast=null", f"training.num_epochs={epochs}"]
        words += [f"training.warmup_epochs={0.15 * epochs:.3f}", "training.tested_epoch=last"]
        words += ["training.early_stopping_patience=null", *start.training]
        if start.method is not None:
            encoder = self._pretrained(start.method, seed) / ENCODER_FILE
            words.append(f"model.weights={encoder.resolve()}")
        words += self._shared("trained", (name, labels, seed))
        train(training_config(words))

    def _pretrained(self, method: str, seed: int) -> Path:
        """The finished pretraining by this method, made unless it is there."""
        if found := self.finished("pretrained", (method, seed)):
            return found
        start = next(start for start in STARTS.values() if start.method == method)
        epochs = self.options.num_epochs
        words = [f"method={method}", f"data.unlabelled={self.strips.unlabelled()}"]
        words += [*_SLIM, *start.pretraining, f"training.num_epochs={epochs}"]
        words += [f"training.warmup_epochs={0.15 * epochs:.3f}", "data.watched_images=64"]
        words += self._shared("pretrained", (method, seed))
        command.fill_store()
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            pretrain(command.check_config(compose("pretrain_config", overrides=words)))
        return self.finished("pretrained", (method, seed))

    def _shared(self, kind: str, key: tuple[Any, ...]) -> list[str]:
        height, width = self.options.image_size
        folder = self.folder / kind / "_".join(map(str, key))
        size = "image_size" if self.options.data_root is None else "resize"
        return [
            f"data.{size}=[{height},{width}]",
            "data.cache=memory",
            f"experiment.seed={key[-1]}",
            f"experiment.results_dir={folder}",
            "runtime.precision=float32",
            "runtime.channels_last=false",
            f"runtime.num_threads={self.options.threads}",
        ]
