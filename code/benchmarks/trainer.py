"""Whole trainings, from image files to scored epochs: a loop like timm's, fastai's and ours."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import torch
from timm.data import create_loader
from timm.loss import BinaryCrossEntropy
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter
from torch import nn

from benchmarks.epoch import OurEpochs, num_strips
from benchmarks.measurement import Contender, measure_with_cpu, table
from benchmarks.options import Options
from benchmarks.workload import (
    AUTOMATIC,
    PlainStrips,
    experiment,
    fastest,
    in_colour,
    our_model,
    training,
)
from core.data.split_file import Split
from core.running.experiment_record import LoadedData

ITEM = "strip"


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows and their text, with ratios of wall and of CPU time."""
    rows = measure_with_cpu(contenders(options, folder), options.rounds)
    return rows, table(rows, ITEM)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """A loop like that of timm's train.py first, then fastai where it is installed, then ours.

    All train the same network on the same strips in batches of one size, mirror them at random,
    read them in one process, and score the validation part; each with its own other defaults. Ours
    computes as `auto` chooses, in `precision` where that is given. timm and fastai leave out the
    last strips of the training part that do not fill a batch, so each is counted by the strips that
    it reads.
    """
    config = experiment(
        *(options, folder, "training.num_epochs=1000", "data.cache=none", *AUTOMATIC),
        *("augmentation.horizontal_flip=true", "augmentation.vertical_flip=true"),
        f"runtime.precision={options.precision}",
    )
    config, chosen = fastest(config)
    ours = training(config)
    timm = TimmEpochs(options, ours.data, ours.split)
    found = [Contender("a loop as timm's train.py", timm, timm.num_strips)]
    if importlib.util.find_spec("fastai"):
        found.append(Contender("fastai", *fastai_epochs(options, ours.data, ours.split)))
    run = OurEpochs(config, ours, folder)
    return [*found, Contender(f"ours, auto: {chosen}", run, num_strips(ours))]


class TimmEpochs:
    """Each call is one epoch of a loop with the defaults of timm 1.0's train.py.

    The script is not part of the installed package. Its loader, transforms, loss for several
    labels, optimizer and meters are, and are used in the script's order; of the transforms only
    the mirrors, at the strip's own size. In float32, as there without `--amp`.
    """

    def __init__(self, options: Options, data: LoadedData, split: Split) -> None:
        self.device = options.device
        self.model = our_model(options).to(self.device)
        self.optimizer = create_optimizer_v2(self.model, "sgd", lr=0.05, weight_decay=2e-5)
        self.loss = BinaryCrossEntropy(smoothing=0.0)
        height, width = options.image_size
        shared = {
            **{"input_size": (3, height, width), "batch_size": options.batch_size},
            **{"use_prefetcher": False, "num_workers": 0, "persistent_workers": False},
            **{"device": self.device, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
        }
        mirrors = {"hflip": 0.5, "vflip": 0.5, "color_jitter": 0.0}
        whole = {"scale": (1.0, 1.0), "ratio": (width / height, width / height)}
        train, validation = (
            PlainStrips(data.table, split[name], in_colour) for name in ("train", "validation")
        )
        self.train = create_loader(train, is_training=True, **shared, **mirrors, **whole)
        self.validation = create_loader(validation, crop_pct=1.0, **shared)
        self.num_strips = len(self.train) * options.batch_size + len(validation)

    def __call__(self) -> None:
        mean = AverageMeter()
        self.model.train()
        for loss, num_images in self._losses(self.train):
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            mean.update(loss.item(), num_images)
        self.model.eval()
        with torch.no_grad():
            for loss, num_images in self._losses(self.validation):
                mean.update(loss.item(), num_images)

    def _losses(self, loader: Any) -> Iterator[tuple[torch.Tensor, int]]:
        for images, labels in loader:
            logits = self.model(images.to(self.device))
            yield self.loss(logits, labels.to(self.device)), len(images)


def fastai_epochs(
    options: Options, data: LoadedData, split: Split
) -> tuple[Callable[[], object], int]:
    """Each call is one epoch of fastai's Learner and one-cycle policy, with its image blocks.

    Also the number of strips that it reads.
    """
    from fastai.vision import all as fastai

    def labels_of(index: int) -> torch.Tensor:
        return torch.tensor(data.table.labels[index], dtype=torch.float32)

    names, num_train = list(data.table.class_names), len(split["train"])
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.MultiCategoryBlock(encoded=True, vocab=names)),
        get_x=lambda index: data.table.image_paths[index],
        get_y=labels_of,
        splitter=lambda items: (range(num_train), range(num_train, len(items))),
        item_tfms=[fastai.FlipItem(0.5)],
    )
    items = [*split["train"].tolist(), *split["validation"].tolist()]
    loaders = block.dataloaders(items, bs=options.batch_size, num_workers=0, device=options.device)
    loss, figures = nn.BCEWithLogitsLoss(), fastai.accuracy_multi
    learner = fastai.Learner(loaders, our_model(options), loss_func=loss, metrics=figures)

    def run() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(1)

    return run, len(loaders.train) * options.batch_size + len(split["validation"])
