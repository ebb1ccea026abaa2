"""What there is to measure, what a benchmark is told, and the strips that it reads."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from core.data.annotations import LabelTable, read_label_table
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

# For each: what it measures, and what of it differs from the usual options.
SUBJECTS = {
    "loader": ("strips from the disk to batches", {"batch_size": 8}),
    "step": ("forward, backward, update", {"rounds": 3}),
    "inference": ("batches to logits", {"batch_size": 1}),
    "predict": ("the whole of predict.py", {"num_images": 1000, "rounds": 3}),
    "split": ("the stratified split of 12,568 strips", {}),
    "metrics": ("figures with intervals of 1,886 strips", {}),
    "epoch": ("the trainer beside a bare loop", {"model": "resnet10_slim", "num_images": 400}),
    "trainer": ("whole trainings beside fastai and timm", {"rounds": 2, "num_images": 40}),
    "memory": (
        "of a training on a table as long as the real one",
        {"model": "resnet10_slim", "num_images": 12568, "image_size": (64, 400), "batch_size": 8},
    ),
}

# Told by --help.
OPTIONAL = """\
optional: trainer also compares with fastai, and inference with OpenVINO, where they are installed.
fastai asks for torchvision, so it is put in a folder of its own without what it depends on:

  pip install --no-deps --target DIR fastai==2.8.12 fastcore==2.2.39 fastprogress==1.0.3 \\
      fasttransform==0.0.5 plum-dispatch fastdownload beartype requests charset-normalizer \\
      urllib3 idna certifi ipython traitlets cloudpickle apswutils rich markdown-it-py mdurl \\
      pygments
  PYTHONPATH=DIR python code/benchmark.py trainer
  pip install openvino
"""


@dataclass(frozen=True)
class Options:
    """Of all benchmarks; each uses what it needs."""

    data_root: Path | None = None
    image_size: tuple[int, int] = (256, 1600)
    num_images: int = 64
    batch_size: int = 4
    model: str = "convnext_tiny_cbam"
    rounds: int = 5
    device: torch.device = field(default_factory=partial(torch.device, "cpu"))


def strips(options: Options, folder: Path) -> LabelTable:
    """The first strips of `data_root`, or procedural ones in `folder`."""
    root = options.data_root or ensure_strips(
        folder, StripSettings(options.num_images, options.image_size)
    )
    return read_label_table(root, image_size=options.image_size)


def random_images(options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of noise, uint8 (batch, 1, H, W), and labels of four classes, on the device."""
    generator = torch.Generator().manual_seed(0)
    shape = (options.batch_size, 1, *options.image_size)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = (torch.rand(options.batch_size, 4, generator=generator) < 0.3).float()
    return images.to(options.device), labels.to(options.device)
