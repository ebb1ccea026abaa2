"""Loading: strips from the disk to batches that a model can take."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms as T

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.workload import PlainStrips, data_root, in_colour
from core.augmentation.pipelines import AugmentationPipeline
from core.data.annotations import read_label_table
from core.data.dataset import StripDataset
from core.data.image_cache import open_images
from core.data.loaders import make_loader
from core.data.settings import DataSettings

ITEM = "strip"
# For loaders of a few milliseconds: the first pass after another contender meets cold caches.
QUICK_PASSES = 20
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The usual loader first; all read in one process and apply the same transforms."""
    cv2.setNumThreads(0)
    table = read_label_table(data_root(options, folder), image_size=options.image_size)
    strips = range(min(len(table), options.num_images))

    def plain(read: Callable[[Path], torch.Tensor]) -> DataLoader:
        return DataLoader(PlainStrips(table, strips, read), options.batch_size, shuffle=True)

    def ours(cache: str, transform: AugmentationPipeline | None) -> DataLoader:
        data = DataSettings(cache=cache, cache_dir=folder / "cache", image_size=options.image_size)
        images = open_images(table.image_paths, data)
        dataset = StripDataset(table, strips, options.image_size, transform, images=images)
        return make_loader(dataset, options.batch_size, seed=0, shuffle=True)

    whole_batches = ours("disk", None)
    ways = {
        "cv2 colour, albumentations, float": (plain(cv2_and_albumentations()).__iter__, 1),
        "PIL, torchvision transforms": (plain(pil_and_torchvision()).__iter__, 1),
        "ours, cache=none": (ours("none", AugmentationPipeline()).__iter__, 1),
        "ours, cache=disk": (ours("disk", AugmentationPipeline()).__iter__, 1),
        "ours, cache=disk, no augmentation": (whole_batches.__iter__, QUICK_PASSES),
        "bare copy of the cache": (partial(bare_copies, whole_batches), QUICK_PASSES),
    }
    return [
        Contender(name, partial(read_all, batches, passes), len(strips) * passes)
        for name, (batches, passes) in ways.items()
    ]


def read_all(batches: Callable[[], Iterable[Any]], passes: int) -> None:
    """Read all batches so many times, and drop them."""
    for _ in range(passes):
        for _ in batches():
            pass


def cv2_and_albumentations() -> Callable[[Path], torch.Tensor]:
    """As most training scripts do it: three channels from the start, floats on the CPU."""
    transform = A.Compose(
        [
            A.HorizontalFlip(p=0.5, strict=True),
            A.VerticalFlip(p=0.5, strict=True),
            A.Rotate(limit=2, border_mode=cv2.BORDER_REFLECT_101, p=0.3, strict=True),
            A.RandomBrightnessContrast(0.2, 0.2, p=0.5, strict=True),
            A.GaussianBlur(blur_limit=(3, 5), p=0.1, strict=True),
            A.Normalize(_MEAN, _STD, strict=True),
        ]
    )

    def read(path: Path) -> torch.Tensor:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        image = transform(image=image)["image"]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

    return read


def pil_and_torchvision() -> Callable[[Path], torch.Tensor]:
    """The same with PIL and torchvision."""
    transform = T.Compose(
        [
            T.RandomHorizontalFlip(),
            T.RandomVerticalFlip(),
            T.RandomApply([T.RandomRotation(2)], p=0.3),
            T.RandomApply([T.ColorJitter(0.2, 0.2)], p=0.5),
            T.RandomApply([T.GaussianBlur(5)], p=0.1),
            T.ToTensor(),
            T.Normalize(_MEAN, _STD),
        ]
    )
    return lambda path: transform(in_colour(path))


def bare_copies(loader: DataLoader) -> Iterator[torch.Tensor]:
    """The same batches without the loader: each strip copied to its place, and nothing else."""
    images, order = loader.dataset.images, list(loader.sampler)
    for start in range(0, len(order), loader.batch_size):
        chosen = order[start : start + loader.batch_size]
        batch = np.empty((len(chosen), 1, *images.shape[1:]), np.uint8)
        for place, index in enumerate(chosen):
            batch[place, 0] = images.read(index, writable=False)
        yield torch.from_numpy(batch)
