"""Loading: strips from the disk to batches that a model can take."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import albumentations as A
import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from benchmarks.measurement import Contender
from benchmarks.options import Options, strips
from core.augmentation.pipelines import AugmentationPipeline
from core.data.annotations import LabelTable
from core.data.dataset import StripDataset
from core.data.image_cache import open_images
from core.data.image_source import ImageMap
from core.data.loaders import make_loader
from core.data.settings import DataSettings

ITEM = "strip"
# Of what takes milliseconds a pass: the first one after another contender pays for cold caches.
QUICK_PASSES = 20
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The usual loader first; all in one process, with the same transforms."""
    cv2.setNumThreads(0)
    table = strips(options, folder / "strips")
    count = min(len(table), options.num_images)

    def plain(read: Callable[[Path], torch.Tensor]) -> Iterator[Any]:
        return DataLoader(PlainDataset(table, count, read), options.batch_size, shuffle=True)

    def ours(cache: str, augmented: bool) -> Iterator[Any]:
        data = DataSettings(cache=cache, cache_dir=folder / "cache", image_size=options.image_size)
        dataset = StripDataset(
            table,
            range(count),
            options.image_size,
            transform=AugmentationPipeline() if augmented else None,
            images=open_images(table.image_paths, data),
        )
        return make_loader(dataset, options.batch_size, seed=0, shuffle=True)

    usual = {
        "cv2 colour, albumentations, float": plain(cv2_and_albumentations()),
        "PIL, torchvision transforms": plain(pil_and_torchvision()),
        "ours, cache=none": ours("none", True),
        "ours, cache=disk": ours("disk", True),
    }
    quick = {
        "ours, cache=disk, no augmentation": ours("disk", False),
        "bare copy of the cache": BareCopies(ours("disk", False), options.batch_size),
    }
    found = [Contender(name, Passes(loader, 1), count) for name, loader in usual.items()]
    for name, loader in quick.items():
        found.append(Contender(name, Passes(loader, QUICK_PASSES), count * QUICK_PASSES))
    return found


class Passes:
    """Passes over a loader; the batches are dropped."""

    def __init__(self, loader: Any, number: int) -> None:
        self.loader, self.number = loader, number

    def __call__(self) -> None:
        for _ in range(self.number):
            for _ in self.loader:
                pass


class PlainDataset(Dataset):
    """A folder of strips, each read when it is asked for."""

    def __init__(self, table: LabelTable, count: int, read: Callable[[Path], torch.Tensor]) -> None:
        self.paths, self.labels = table.image_paths[:count], table.labels[:count]
        self.read = read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.read(self.paths[index]), torch.tensor(self.labels[index], dtype=torch.float32)


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
    return lambda path: transform(Image.open(path).convert("RGB"))


class BareCopies:
    """The same batches without any loader: each strip copied to its place, and nothing else."""

    def __init__(self, loader: DataLoader, batch_size: int) -> None:
        self.loader = loader
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[torch.Tensor]:
        images = self.loader.dataset.images
        assert isinstance(images, ImageMap)
        order = list(self.loader.sampler)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = np.empty((len(chosen), 1, *images.shape[1:]), np.uint8)
            for place, index in enumerate(chosen):
                batch[place, 0] = images.read(index, writable=False)
            yield torch.from_numpy(batch)
