"""Every key of fitting a detector reaches what it is for."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from novelty_runs import BANK, composed, write_folder, write_labelled
from safetensors.torch import save_file
from shared_effects import SHARED, Effects, updated

from core.data.split_file import PARTS, write_split
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption
from core.novelty.composition import Setup, build
from core.novelty.detectors import get_registry
from core.novelty.detectors.patch_features import build_backbone
from core.novelty.score import ScoredDetector
from core.novelty.settings import NoveltyConfig, check_values
from core.novelty.threshold import choose_threshold
from core.running.loading import read_data
from core.training.callbacks import chosen_callbacks
from core.training.trainer import Trainer

SYNTHETIC = ["data.source=synthetic", "data.root={synthetic}", "data.num_images=40",
             "data.class_shares=natural"]  # fmt: skip
ALL_ALONE = ["data.group_duplicates=false"]  # enlarged, the strips are alike
UNLABELLED = ["data.unlabelled={strips}", "data.root=null"]
ENCODER = {"backbone": "test_resnet", "num_classes": 1}


@dataclass
class Built:
    """What a config is composed into, and what its first batch comes to."""

    config: NoveltyConfig
    setup: Setup

    def __post_init__(self) -> None:
        self.chosen, self.detector = self.setup.chosen, self.setup.detector
        self.learning = self.setup.learning
        self.num_threads = torch.get_num_threads()
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        if self.learning:
            self.learner, self.loader = self.learning.learner, self.learning.task.train_batches
            self.weight = next(self.detector.network.parameters())

    @cached_property
    def folder(self) -> ExperimentFolder:
        experiment = self.config.experiment
        return ExperimentFolder.create(Path(experiment.results_dir), experiment.name)

    @cached_property
    def callbacks(self) -> int:
        training, criterion = self.config.training, self.learning.task.criterion
        return len(list(chosen_callbacks(training, self.folder.path, criterion)))

    @cached_property
    def trainer(self) -> Trainer:
        settings = {"settings": self.config.training, "interruption": Interruption()}
        return Trainer(self.learner, self.learning.task, self.folder, **settings)

    @cached_property
    def batches(self) -> list[dict[str, Any]]:
        self.loader.set_epoch(1)
        return list(self.loader)[:2]

    @property
    def pixels(self) -> int:
        """A number that any change of an input, or of its target, changes."""
        tensors = [v.long() for v in self.batches[0].values() if isinstance(v, torch.Tensor)]
        return sum((t * torch.arange(t.numel()).view_as(t)).sum().item() for t in tensors)

    @property
    def loss(self) -> float:
        self.learner.train()
        task, batch = self.learning.task, self.batches[0]
        return task.loss(task.forward(self.learner, batch), batch).item()

    @property
    def read(self) -> torch.Tensor:
        return next(self.chosen.fit.batches(self.config.data.batch_size))

    @property
    def num_learned(self) -> int:
        return len(self.chosen.fit)

    @cached_property
    @torch.inference_mode()
    def distances(self) -> np.ndarray:
        """The map of one strip, of a detector that has learned in one pass where it does."""
        if not self.learning and hasattr(self.detector, "fit"):
            self.detector.fit(self.chosen.fit.batches(8), self.config.experiment.seed)
        self.detector.eval()
        return self.detector(next(self.chosen.threshold.batches(1))).numpy()

    @property
    def map_sum(self) -> tuple[tuple[int, ...], float]:
        return self.distances.shape, float(self.distances.sum())

    @property
    def first_weight(self) -> float:
        return next(self.detector.parameters()).sum().item()

    @property
    def score(self) -> float:
        scoring = self.config.scoring
        scored = ScoredDetector(self.detector, scoring.smoothing, scoring.largest)
        with torch.inference_mode():
            return float(scored.eval()(next(self.chosen.fit.batches(1)))[0])

    @property
    def threshold(self) -> float:
        rate = self.config.scoring.false_alarms_per_1000
        return choose_threshold(np.arange(100.0), rate, np.arange(100)).threshold

    def rate_after(self, updates: int) -> float:
        self.learner.scheduler.step_update(updates)
        return self.learner.learning_rate


# For each key, overrides and what the last of them changes. What stands before it is needed for it.
EFFECTS: Effects = {
    **SHARED,
    "data.source": (SYNTHETIC[1:] + SYNTHETIC[:1], lambda b: b.num_learned),
    "data.root": (["data.root={other}"], lambda b: b.chosen.about["source"]),
    "data.unlabelled": (["data.unlabelled={strips}"], lambda b: b.chosen.about["source"]),
    "data.allow_all": (
        ["data.unlabelled={labelled}/images", "data.allow_all=true"], lambda b: b.num_learned,
    ),
    "data.class_names": (["data.class_names=[spot]"], lambda b: b.chosen.tested.class_names),
    "data.image_size": ([*SYNTHETIC, "data.image_size=[32,128]"], lambda b: b.read.shape),
    "data.resize": ([*ALL_ALONE, "data.resize=[64,96]"], lambda b: b.read.shape),
    "data.resize_mode": (
        [*ALL_ALONE, "data.resize=[64,96]", "data.resize_mode=letterbox"],
        lambda b: b.read.sum().item(),
    ),
    "data.channels": (["data.channels=3"], lambda b: b.read.shape),
    "data.batch_size": (["data.batch_size=4"], lambda b: b.read.shape),
    "data.cache": (["data.cache=disk"], lambda b: type(b.chosen.fit.strips.images).__name__),
    "data.cache_dir": (
        ["data.cache=disk", "data.cache_dir={elsewhere}"],
        lambda b: b.chosen.fit.strips.images.path.parents[1],
    ),
    "data.split_strategy": (
        ["data.split_strategy=stratified_60_20_20"], lambda b: b.num_learned,
    ),
    "data.split_file": (
        ["data.split_strategy=file", "data.split_file={split}"],
        lambda b: b.chosen.fit.rows.tolist(),
    ),
    "data.on_bad_image": (
        ["data.root={half_written}", "data.on_bad_image=skip"],
        lambda b: len(b.chosen.fit.strips.names),
    ),
    "data.group_duplicates": (
        ["data.root={twins}", "data.group_duplicates=false"],
        lambda b: len(set(b.chosen.tested.groups) | set(b.chosen.fit.groups)),
    ),
    "data.num_images": ([*SYNTHETIC, "data.num_images=44"], lambda b: b.num_learned),
    "data.class_shares": ([*SYNTHETIC, "data.class_shares=flat"], lambda b: b.num_learned),
    "data.generation_seed": (
        [*SYNTHETIC, "data.generation_seed=1"], lambda b: b.read.sum().item(),
    ),
    "data.threshold_share": (
        [*UNLABELLED, "data.threshold_share=0.4"], lambda b: len(b.chosen.threshold),
    ),
    "data.held_out_share": (
        [*UNLABELLED, "data.held_out_share=0.4"], lambda b: len(b.chosen.test),
    ),
    "scoring.smoothing": (["scoring.smoothing=1"], lambda b: b.score),
    "scoring.largest": (["scoring.largest=50"], lambda b: b.score),
    "scoring.false_alarms_per_1000": (
        ["scoring.false_alarms_per_1000=100"], lambda b: b.threshold,
    ),
    "training.num_epochs": (["training.num_epochs=5"], lambda b: b.rate_after(15)),
    "training.min_learning_rate": (
        ["training.min_learning_rate=1e-4"], lambda b: b.rate_after(999),
    ),
    "training.ema_decay": (
        ["training.ema_decay=0.99"],
        lambda b: b.learner.evaluated_model is b.learner.model,
    ),
    "training.layer_decay": (
        ["detector.name=synthetic_defects", "training.layer_decay=0.5"],
        lambda b: sorted({group["lr"] for group in b.learner.optimizer.param_groups}),
    ),
    "training.early_stopping_patience": (
        ["training.early_stopping_patience=null"], lambda b: b.callbacks,
    ),
    "training.checkpoint_every_n_epochs": (
        ["training.checkpoint_every_n_epochs=2"], lambda b: b.callbacks,
    ),
    "training.trackers": (
        ["training.trackers=[tensorboard]"], lambda b: b.config.training.trackers,
    ),
    "experiment.name": (["experiment.name=other"], lambda b: b.folder.path.name[:5]),
    "experiment.results_dir": (
        ["experiment.results_dir={elsewhere}"], lambda b: b.folder.path.parent,
    ),
    "runtime.channels_last": (
        ["runtime.channels_last=true"],
        lambda b: any(
            p.dim() == 4 and p.stride(1) == 1 and p.shape[1] > 1
            for p in b.detector.network.parameters() if p.shape[-1] > 1
        ),
    ),
    "runtime.compile": (
        ["runtime.compile=true"], lambda b: b.detector.network._compiled_call_impl is None,
    ),
}  # fmt: skip
NEEDING_EACH_OTHER = {"data.source", "data.allow_all", "data.on_bad_image", "data.split_file"}
"""Keys without which their other overrides are refused."""

PATCHES = {
    "backbone_options": "{backbone: test_convnext}", "stages": "[1,2,3]",
    "weights": "{encoder}",
}  # fmt: skip
SMALL = BANK[1:-1]
OF_DETECTORS = [
    ("high_pass", "map_sum", {"window": 7, "stride": 4}),
    (
        "memory_bank", "map_sum",
        {**PATCHES, "even_light": 8, "standardized": "true", "num_patches": 3,
         "num_candidates": 20},
    ),
    (
        "gaussian", "map_sum",
        {**PATCHES, "even_light": "null", "standardized": "false", "regularization": 0.5},
    ),
    ("gaussians", "map_sum", {**PATCHES, "num_features": 5, "regularization": 0.5}),
    (
        "autoencoder", "loss",
        {"bottleneck": "vae", "bottleneck_options": "{codebook_size: 4}",
         "latent_channels": 4, "stride": 16, "reconstruction": "ssim",
         "reconstruction_weight": 7, "weights": "{quantizer: 9}"},
    ),
    *(
        (name, "first_weight", {"pretrained": "false", "backbone": "resnet10_slim"})
        for name in ("memory_bank", "gaussian", "gaussians")
    ),
    ("autoencoder", "map_sum", {"cell": 8}),
    ("synthetic_defects", "loss", {"model": "efficientnet_lite0", "weights": "{slim}"}),
    ("synthetic_defects", "first_weight", {"pretrained": "true"}),
    ("synthetic_defects", "pixels", {"painting": "{clean: 0.9}"}),
]  # fmt: skip
NEEDED = {
    "autoencoder bottleneck_options": ["detector.bottleneck=rvq"],
    "autoencoder weights": ["detector.bottleneck=rvq"],
    "memory_bank num_candidates": BANK[-1:],
    "synthetic_defects pretrained": ["detector.model=efficientnet_lite0"],
    **{
        f"{name} backbone": ["detector.pretrained=false"]
        for name in ("memory_bank", "gaussian", "gaussians")
    },
}


def of_detectors() -> Effects:
    """The same for the keys of each detector, as `DETECTOR KEY`."""
    found = {}
    for name, probe, values in OF_DETECTORS:
        start = SMALL if "stages" in values else []
        for key, value in values.items():
            label = f"{name} {key}"
            words = [f"detector.name={name}", *start, *NEEDED.get(label, [])]
            found[label] = ([*words, f"detector.{key}={value}"], probe_of(probe))
    return found


def probe_of(name: str) -> Callable[[Built], Any]:
    return lambda built: getattr(built, name)


ALL_EFFECTS = {**EFFECTS, **of_detectors()}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, str]:
    """Files that overrides name."""
    folder = tmp_path_factory.mktemp("given")
    root = write_labelled(folder / "labelled", 40)
    labels = (root / "labels.csv").read_text().splitlines()
    rows = [f"{line},{dot}" for line, dot in zip(labels, ["dot", *"01" * 20], strict=True)]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    for name in ("other", "half_written", "twins"):
        shutil.copytree(root, folder / name)
    (folder / "half_written" / "images" / "strip_000.png").write_bytes(b"\x89PNG")
    images = folder / "twins" / "images"
    shutil.copyfile(images / "strip_001.png", images / "strip_002.png")
    write_folder(folder / "strips", range(50, 70))
    table = read_data(composed(f"data.root={root}").data).table
    rows = np.split(np.random.default_rng(0).permutation(40), (20, 30))
    write_split(folder / "split.csv", table, dict(zip(PARTS, rows, strict=True)))
    torch.manual_seed(5)
    for name, (network, options) in {
        "encoder": ("timm", ENCODER), "slim": ("resnet10_slim", {"num_classes": 1}),
    }.items():  # fmt: skip
        model, _ = build_backbone(network, options, False, None)
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    paths = {name: folder / name for name in ("labelled", "other", "half_written", "twins",
             "strips", "synthetic", "elsewhere", "results")}  # fmt: skip
    paths |= {"split": folder / "split.csv"}
    paths |= {name: folder / f"{name}.safetensors" for name in ("encoder", "slim")}
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture(scope="module")
def built(given) -> Callable[..., Built]:
    """Build as the command line would, but by Hydra each detector once."""
    contents: dict[str, dict[str, Any]] = {}
    threads = torch.get_num_threads()

    @cache
    def run(*overrides: str) -> Built:
        words = ["data.root={labelled}", "experiment.results_dir={results}", *overrides]
        words = [re.sub(r"\{(\w+)\}", lambda name: given[name[1]], word) for word in words]
        names = [word for word in words if word.startswith("detector.name=")]
        group = names[-1] if names else "detector.name=autoencoder"
        if group not in contents:
            contents[group] = composed(group).resolved()
        values = [word for word in words if word not in names]
        checked = check_values(updated(contents[group], values))
        made = Built(checked, build(checked))
        torch.set_num_threads(threads)  # two of them on a busy core wait for each other
        return made

    yield run
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("key", ALL_EFFECTS)
def test_every_key_has_an_effect(key, built):
    overrides, probe = ALL_EFFECTS[key]
    fewer = [word for word in overrides[:-1] if word.startswith("detector.name=")]
    before = probe(built(*(fewer if key in NEEDING_EACH_OTHER else overrides[:-1])))
    assert probe(built(*overrides)) != before


def test_every_key_is_tried_above():
    resolved = composed().resolved()
    keys = {f"{name}.{key}" for name in resolved for key in resolved[name]}
    assert {key for key in keys if not key.startswith("detector.")} == set(EFFECTS)
    for name in get_registry().list():
        own = composed(f"detector.name={name}").detector.keys() - {"name"}
        assert {f"{name} {key}" for key in own} <= ALL_EFFECTS.keys()
