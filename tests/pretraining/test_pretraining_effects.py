"""Every key of a pretraining reaches what it is for."""

import copy
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretraining_runs import composed, write_labelled, write_strips
from shared_effects import SHARED, Effects, updated

from core.data.split_file import write_split
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption
from core.pretraining.choosing import choose_strips
from core.pretraining.composition import Setup, build, build_trainer
from core.pretraining.methods import get_registry
from core.pretraining.settings import PretrainConfig, check_values

SYNTHETIC = ["data.source=synthetic", "data.root={synthetic}", "data.num_images=40",
             "data.class_shares=flat"]  # fmt: skip
HALF_WRITTEN = "data.root={half_written}"


@dataclass
class Built:
    """What a config is composed into, and what its first batches come to."""

    config: PretrainConfig
    setup: Setup

    def __post_init__(self) -> None:
        self.chosen, self.task = self.setup.chosen, self.setup.task
        self.learner = self.setup.learner
        self.model, self.method = self.learner.model, self.learner.objective
        self.loader = self.task.train_batches
        self.weight = next(self.model.parameters())
        self.num_threads = torch.get_num_threads()
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        self.num_parameters = sum(p.numel() for p in self.method.parameters())

    @cached_property
    def trainer(self):
        experiment = self.config.experiment
        folder = ExperimentFolder.create(Path(experiment.results_dir), experiment.name)
        return build_trainer(self.config, self.setup, folder, Interruption())

    @cached_property
    def batches(self) -> list[dict[str, Any]]:
        self.loader.set_epoch(1)
        return list(self.loader)[:2]

    @property
    def images(self) -> torch.Tensor:
        return self.batches[0]["image"]

    @property
    def pixels(self) -> int:
        """A number that any change of the views, or of the masks, changes."""
        pair = torch.cat([self.images, self.batches[0]["second_view"]], dim=1).long()
        return (pair * torch.arange(pair.numel()).view_as(pair)).sum().item()

    @property
    def loss_value(self) -> float:
        """The loss of the second batch, for which a queue holds the first."""
        self.learner.train()
        losses = [self.task.loss(self.task.forward(self.learner, b), b) for b in self.batches]
        return losses[1].item()

    @property
    def followed(self) -> float:
        """A weight of the key encoder after the encoder moved."""
        moved = copy.deepcopy(self.model)
        with torch.no_grad():
            next(moved.parameters()).add_(1)
        self.method.follow(moved)
        return next(self.method.key_encoder.parameters()).sum().item()

    def rate_after(self, updates: int) -> float:
        self.learner.scheduler.step_update(updates)
        return self.learner.learning_rate


# For each key, overrides and what the last of them changes. What stands before it is needed for it.
EFFECTS: Effects = {
    **SHARED,
    "data.source": (SYNTHETIC[1:] + SYNTHETIC[:1], lambda b: len(b.chosen.strips.names)),
    "data.root": (["data.root={other}"], lambda b: b.chosen.source),
    "data.unlabelled": (["data.unlabelled={strips}"], lambda b: b.chosen.source),
    "data.allow_all": (["data.allow_all=true"], lambda b: len(b.chosen.train)),
    "data.watched_images": (["data.watched_images=3"], lambda b: len(b.chosen.watched)),
    "data.class_names": (
        ["data.class_names=[medium,fine]"], lambda b: b.chosen.labelled.table.class_names,
    ),
    "data.image_size": ([*SYNTHETIC, "data.image_size=[32,96]"], lambda b: b.images.shape),
    "data.resize": (["data.resize=[64,96]"], lambda b: b.images.shape),
    "data.resize_mode": (
        ["data.resize=[64,96]", "data.resize_mode=letterbox"], lambda b: b.pixels,
    ),
    "data.channels": (["data.channels=3"], lambda b: b.images.shape),
    "data.batch_size": (["data.batch_size=4"], lambda b: b.images.shape),
    "data.cache": (["data.cache=disk"], lambda b: type(b.chosen.strips.images).__name__),
    "data.cache_dir": (
        ["data.cache=disk", "data.cache_dir={elsewhere}"],
        lambda b: b.chosen.strips.images.path.parents[1],
    ),
    "data.split_strategy": (
        ["data.split_strategy=stratified_60_20_20"], lambda b: len(b.chosen.train),
    ),
    "data.split_file": (
        ["data.split_strategy=file", "data.split_file={split}"], lambda b: b.chosen.train.tolist(),
    ),
    "data.on_bad_image": (
        [HALF_WRITTEN, "data.on_bad_image=skip"], lambda b: list(b.chosen.labelled.table.skipped),
    ),
    "data.group_duplicates": (
        ["data.root={twins}", "data.group_duplicates=false"],
        lambda b: len(b.chosen.labelled.duplicate_pairs),
    ),
    "data.num_images": (
        [*SYNTHETIC, "data.num_images=44"], lambda b: len(b.chosen.strips.names),
    ),
    "data.class_shares": (
        [*SYNTHETIC, "data.class_shares=natural"], lambda b: b.chosen.strips.labels.sum(),
    ),
    "data.generation_seed": ([*SYNTHETIC, "data.generation_seed=1"], lambda b: b.pixels),
    "training.num_epochs": (["training.num_epochs=3"], lambda b: b.rate_after(6)),
    "training.min_learning_rate": (["training.min_learning_rate=1e-4"], lambda b: b.rate_after(99)),
    "training.gradient_checkpointing": (
        ["training.gradient_checkpointing=true"], lambda b: b.model.backbone.grad_checkpointing,
    ),
    "training.ema_decay": (
        ["training.ema_decay=0.99"], lambda b: b.learner.evaluated_model is b.model,
    ),
    "training.layer_decay": (
        ["training.layer_decay=0.5"],
        lambda b: sorted({group["lr"] for group in b.learner.optimizer.param_groups}),
    ),
    "training.probe_every": (["training.probe_every=1"], lambda b: b.task.probe.every),
    "training.early_stopping_patience": (
        ["training.early_stopping_patience=1"], lambda b: len(b.trainer.callbacks),
    ),
    "training.checkpoint_every_n_epochs": (
        ["training.checkpoint_every_n_epochs=2"], lambda b: len(b.trainer.callbacks),
    ),
    "training.trackers": (
        ["training.trackers=[tensorboard]"], lambda b: b.config.training.trackers,
    ),
    "experiment.name": (["experiment.name=other"], lambda b: b.trainer.folder.path.name[:5]),
    "experiment.results_dir": (
        ["experiment.results_dir={elsewhere}"], lambda b: b.trainer.folder.path.parent,
    ),
    "runtime.channels_last": (
        ["runtime.channels_last=true"],
        lambda b: b.weight.is_contiguous(memory_format=torch.channels_last),
    ),
    "runtime.compile": (["runtime.compile=true"], lambda b: b.model._compiled_call_impl is None),
    "runtime.depthwise_gradient": (
        ["model.backbone=convnext_atto", "runtime.precision=bfloat16",
         "runtime.depthwise_gradient=matmul"],
        lambda b: str(b.model).count("DepthwiseConv2d"),
    ),
}  # fmt: skip


def of_methods() -> Effects:
    """The same for the keys of each method, as `METHOD method.KEY`."""
    found = {}
    for method, probe, values in [
        ("simclr", "loss_value", {"temperature": 0.1, "hard_percentile": 60}),
        ("vicreg", "loss_value", {"invariance": 5, "variance": 5, "covariance": 5}),
        ("barlow_twins", "loss_value", {"off_diagonal": 0.5, "standardization": "unbiased"}),
        ("moco", "loss_value", {"temperature": 0.1}),
        ("moco", "followed", {"momentum": 0.5}),
        ("moco", "num_queued", {"queue_size": 12}),
        *(
            (name, "num_parameters", {"hidden_size": 24, "embedding_size": 12})
            for name in ("simclr", "vicreg", "barlow_twins", "moco", "clip")
        ),
        (
            "synthetic_defects",
            "pixels",
            {"cut_paste": 0, "poisson_patches": 0, "perlin_texture": 0, "clean": 0.9,
             "count": "[3,8]", "size": "[0.3,0.8]", "contrast": "[9,19]", "num_sources": 0},
        ),
        ("synthetic_defects", "left_out", {"keep_head": "false"}),
    ]:  # fmt: skip
        for key, value in values.items():
            words = [f"method.name={method}", f"method.{key}={value}"]
            found[f"{method} method.{key}"] = (words, PROBES.get(probe) or probe_of(probe))
    return found


PROBES: dict[str, Callable[[Built], Any]] = {
    "num_queued": lambda b: len(b.method.loss.queue.ids),
    "left_out": lambda b: b.method.left_out,
}


def probe_of(name: str) -> Callable[[Built], Any]:
    return lambda built: getattr(built, name)


ALL_EFFECTS = {**EFFECTS, **of_methods()}
NEEDING_EACH_OTHER = {"data.source", "data.on_bad_image", "data.split_file"}
"""Keys without which their other overrides are refused."""


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, str]:
    """Files that overrides name."""
    folder = tmp_path_factory.mktemp("given")
    root = write_labelled(folder / "labelled", 30)
    for name in ("other", "half_written", "twins"):
        shutil.copytree(root, folder / name)
    (folder / "half_written" / "images" / "strip_000.jpg").write_bytes(b"\xff\xd8\xff")
    images = folder / "twins" / "images"
    shutil.copyfile(images / "strip_000.jpg", images / "strip_001.jpg")
    write_strips(folder / "strips", range(50, 70))
    chosen = choose_strips(composed(f"data.root={root}"))
    swapped = {**chosen.split, "train": chosen.split["train"][:9]}
    left = np.setdiff1d(np.arange(30), np.concatenate([swapped["train"], swapped["validation"]]))
    write_split(folder / "split.csv", chosen.labelled.table, {**swapped, "test": left})
    names = ("labelled", "other", "half_written", "twins", "strips", "synthetic", "elsewhere",
             "split.csv", "results")  # fmt: skip
    return {name.removesuffix(".csv"): str(folder / name) for name in names}


@pytest.fixture(scope="module")
def built(given) -> Callable[..., Built]:
    """Build as the command line would, but by Hydra each choice of a method and a model once."""
    contents: dict[tuple[str, ...], dict[str, Any]] = {}
    threads = torch.get_num_threads()

    @cache
    def run(*overrides: str) -> Built:
        words = ["data.root={labelled}", "experiment.results_dir={results}", *overrides]
        words = [word.format(**given) for word in words]
        groups = tuple(w for w in words if w.startswith(("method.name=", "model.name=")))
        if groups not in contents:
            contents[groups] = composed(*fitting(groups)).resolved()
        values = [word for word in words if word not in groups]
        checked = check_values(updated(contents[groups], values))
        made = Built(checked, build(checked, choose_strips(checked)))
        torch.set_num_threads(threads)  # two of them on a busy core wait for each other
        return made

    yield run
    torch.use_deterministic_algorithms(False)


def fitting(groups: Iterable[str]) -> list[str]:
    """With what the default of a method needs beside the small batches of these tests."""
    return [*groups, *(["method.queue_size=18"] if "method.name=moco" in groups else [])]


@pytest.mark.parametrize("key", ALL_EFFECTS)
def test_every_key_has_an_effect(key, built):
    overrides, probe = ALL_EFFECTS[key]
    before = probe(built(*([] if key in NEEDING_EACH_OTHER else overrides[:-1])))
    assert probe(built(*overrides)) != before


def test_every_key_is_tried_above():
    resolved = composed().resolved()
    keys = {f"{name}.{key}" for name in resolved for key in resolved[name]}
    # Keys of a model reach the encoder as they reach a classifier, which has a table of its own.
    assert {key for key in keys if not key.startswith(("model.", "method."))} == set(EFFECTS)
    for name in get_registry().list():
        of_method = composed(*fitting([f"method.name={name}"])).method.keys() - {"name"}
        assert {f"{name} method.{key}" for key in of_method} <= ALL_EFFECTS.keys()
