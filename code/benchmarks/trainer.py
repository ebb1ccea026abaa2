"""Whole trainings, from the strips' files to scored epochs: ours, fastai's and a loop as timm's."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import numpy as np
import torch
from PIL import Image
from timm.data import create_loader
from timm.loss import BinaryCrossEntropy
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter
from torch import nn
from torch.utils.data import Dataset

from benchmarks.epoch import OurEpochs, experiment
from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.step import our_model
from core.augmentation.settings import AugmentationSettings
from core.data.splitting import Split
from core.running.composition import build
from core.running.experiment_record import LoadedData
from core.running.loading import choose_split, read_data
from core.training.settings import RuntimeSettings

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """A loop as timm's train.py has it first, then fastai where it is installed, then ours.

    All train the same network on the same strips in batches of one size, mirror them at random,
    read them in one process, and score the validation part; each with its own other defaults.
    """
    config = experiment(
        options,
        folder,
        cache="none",
        runtime=RuntimeSettings(device=options.device.type, deterministic=False),
        augmentation=mirrored_only(),
    )
    data = read_data(config.data)
    split = choose_split(config, data)
    ways: dict[str, Callable[[], object]] = {
        "a loop as timm's train.py": TimmEpochs(options, data, split)
    }
    if importlib.util.find_spec("fastai"):
        ways["fastai"] = fastai_epochs(options, data, split)
    ways["ours, as by default"] = OurEpochs(config, build(config, data, split), folder)
    num_images = len(split["train"]) + len(split["validation"])
    return [Contender(name, run, num_images) for name, run in ways.items()]


def mirrored_only() -> AugmentationSettings:
    """Our default augmentation without all but the mirrors."""
    others = set(AugmentationSettings.model_fields) - {"horizontal_flip", "vertical_flip"}
    return AugmentationSettings(**dict.fromkeys(others))


class PillowStrips(Dataset):
    """The images of a part as Pillow reads them, in colour, and their labels."""

    def __init__(self, data: LoadedData, indices: np.ndarray) -> None:
        self.paths = [data.table.image_paths[index] for index in indices]
        self.labels = torch.from_numpy(data.table.labels[indices].astype(np.float32))
        self.transform: Callable[[Image.Image], Any] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        image = Image.open(self.paths[index]).convert("RGB")
        return image if self.transform is None else self.transform(image), self.labels[index]


class TimmEpochs:
    """One epoch a call of a loop after the defaults of timm 1.0's train.py.

    That script is no part of the installed package. Its loader, transforms, loss for several
    labels, optimizer and meters are, and are used in its order; of the transforms the mirrors
    only, at the strip's own size. Numbers are float32, as there without `--amp`.
    """

    def __init__(self, options: Options, data: LoadedData, split: Split) -> None:
        self.device = options.device
        self.model = our_model(options).to(self.device)
        self.optimizer = create_optimizer_v2(self.model, "sgd", lr=0.05, weight_decay=2e-5)
        self.loss = BinaryCrossEntropy(smoothing=0.0)
        height, width = options.image_size
        shared = {
            "input_size": (3, height, width),
            "batch_size": options.batch_size,
            "use_prefetcher": False,
            "num_workers": 0,
            "persistent_workers": False,
            "device": self.device,
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
        }
        mirrors = {"hflip": 0.5, "vflip": 0.5, "color_jitter": 0.0}
        whole = {"scale": (1.0, 1.0), "ratio": (width / height, width / height)}
        train, validation = (PillowStrips(data, split[name]) for name in ("train", "validation"))
        self.train = create_loader(train, is_training=True, **shared, **mirrors, **whole)
        self.validation = create_loader(validation, crop_pct=1.0, **shared)

    def __call__(self) -> None:
        losses = AverageMeter()
        self.model.train()
        for images, labels in self._batches(self.train):
            loss = self.loss(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.update(loss.item(), len(images))
        self.model.eval()
        with torch.no_grad():
            for images, labels in self._batches(self.validation):
                losses.update(self.loss(self.model(images), labels).item(), len(images))

    def _batches(self, loader: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, labels in loader:
            yield images.to(self.device), labels.to(self.device)


def fastai_epochs(options: Options, data: LoadedData, split: Split) -> Callable[[], object]:
    """One epoch a call of fastai's Learner and one-cycle policy, with its image blocks."""
    from fastai.vision import all as fastai

    def labels_of(index: int) -> torch.Tensor:
        return torch.tensor(data.table.labels[index], dtype=torch.float32)

    names = list(data.table.class_names)
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.MultiCategoryBlock(encoded=True, vocab=names)),
        get_x=lambda index: data.table.image_paths[index],
        get_y=labels_of,
        splitter=lambda items: (
            range(len(split["train"])),
            range(len(split["train"]), len(items)),
        ),
        item_tfms=[fastai.FlipItem(0.5)],
    )
    items = [*split["train"].tolist(), *split["validation"].tolist()]
    loaders = block.dataloaders(items, bs=options.batch_size, num_workers=0, device=options.device)
    learner = fastai.Learner(
        loaders,
        our_model(options),
        loss_func=nn.BCEWithLogitsLoss(),
        metrics=fastai.accuracy_multi,
    )

    def run() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(1)

    return run
