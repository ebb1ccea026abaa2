"""What benchmarks work on: strips, networks and trainings."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import numpy as np
import timm
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from benchmarks.options import Options
from core.command.choosers import short_forms
from core.command.config import TrainConfig, check_config, fill_config_store
from core.command.help import store_help
from core.data.label_table import LabelTable
from core.models.registry import get_registry
from core.running.autotuning import choose
from core.running.composition import build
from core.running.computation import Computation, applied
from core.running.experiment_record import TrainingSetup
from core.running.loading import choose_split, read_data
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

# The training part of the 12,568 strips: for it `auto` has its 20 seconds.
NUM_TRAINING_IMAGES = 8797
AUTOMATIC = ("runtime.precision=auto", "runtime.channels_last=auto", "data.num_workers=0")
CONFIG_DIR = Path(__file__).resolve().parents[2] / "config"


def data_root(options: Options, folder: Path) -> Path:
    """`--data-root`, or procedural strips in `folder`."""
    return options.data_root or ensure_strips(
        folder / "strips",
        StripSettings(options.num_images, options.image_size, class_shares="flat"),
        num_workers=max(1, min(os.cpu_count() or 1, options.num_images // 250)),
    )


class PlainStrips(Dataset):
    """Strips, each read when it is needed, and their labels, as in most training scripts."""

    def __init__(self, table: LabelTable, indices: Sequence[int], read: Callable) -> None:
        self.paths = [table.image_paths[index] for index in indices]
        self.labels = torch.from_numpy(table.labels[indices].astype(np.float32))
        self.read = read
        self.transform: Callable | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        image = self.read(self.paths[index])
        return image if self.transform is None else self.transform(image), self.labels[index]


def in_colour(path: Path) -> Image.Image:
    """A strip as Pillow reads it, in three channels."""
    return Image.open(path).convert("RGB")


def our_model(options: Options) -> nn.Module:
    """The model by its name, from scratch."""
    values = model_values(options)
    return get_registry().instantiate(values.pop("name"), **values, pretrained=False)


def model_values(options: Options) -> dict[str, str]:
    """The config of a registered model, or of a network of timm.

    Raises:
        UnknownComponentError: no such model.
    """
    registry, name = get_registry(), options.model
    if name not in registry and name in timm.list_models():
        return {"name": "timm", "backbone": name}
    registry.get(name)
    return {"name": name}


def overrides(options: Options, folder: Path) -> list[str]:
    """The overrides by which train.py trains this model on these strips from scratch."""
    height, width = options.image_size
    return [
        *(f"model.{key}={value}" for key, value in model_values(options).items()),
        "model.pretrained=false",
        f"data.root={data_root(options, folder)}",
        f"data.image_size=[{height},{width}]",
        f"data.batch_size={options.batch_size}",
        f"data.cache_dir={folder / 'cache'}",
        f"runtime.device={options.device.type}",
        f"experiment.results_dir={folder / 'results'}",
    ]


def experiment(options: Options, folder: Path, *others: str) -> TrainConfig:
    """The config of such a training on unaugmented strips kept in memory, in float32.

    `others` are overrides that come after these. Deterministic algorithms are a setting of the
    whole process, which would slow down the other contenders.
    """
    usual = ["loss=bce_with_logits", "augmentation=none", "data.cache=memory"]
    usual += ["runtime.precision=float32", "runtime.deterministic=false"]
    return training_config([*overrides(options, folder), *usual, *others])


def training_config(words: Sequence[str]) -> TrainConfig:
    """The checked config that these words of a command line compose."""
    fill_config_store()
    store_help()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return check_config(compose("train_config", overrides=short_forms(words)))


def training(config: TrainConfig) -> TrainingSetup:
    """Everything that the trainer is given."""
    data = read_data(config.data)
    return build(config, data, choose_split(config, data))


def fastest(config: TrainConfig) -> tuple[TrainConfig, Computation]:
    """The config with what each `auto` chooses for a training on the real data, and that choice."""
    chosen, _ = choose(config, training(config), NUM_TRAINING_IMAGES)
    return applied(config, chosen), chosen
