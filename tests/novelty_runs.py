"""Small strips, and detectors that are fitted on them in a second."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conftest import REPOSITORY
from hydra import compose, initialize_config_dir

from core.novelty.command import check_config, fill_store, short_forms
from core.novelty.composition import fit
from core.novelty.settings import NoveltyConfig

SIZE = (32, 96)
BANK = [
    "detector.name=memory_bank",
    "detector.backbone=timm",
    "detector.backbone_options={backbone: test_resnet}",
    "detector.pretrained=false",
    "detector.stages=[1,2]",
    "detector.num_patches=50",
]


def write_strip(path: Path, number: int, with_spot: bool = False) -> None:
    """A textured strip, on request with a bright spot at x=60, y=10."""
    noise = np.random.default_rng(number).normal(110, 25, SIZE)
    image = cv2.GaussianBlur(noise, (0, 0), 1.0)
    if with_spot:
        image[10:18, 60:68] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))


def write_folder(folder: Path, numbers: Iterable[int]) -> Path:
    """Clean strips."""
    for number in numbers:
        write_strip(folder / f"strip_{number:03d}.png", number)
    return folder


def write_labelled(root: Path, count: int = 40) -> Path:
    """A labelled data set: every third strip has a spot."""
    for number in range(count):
        write_strip(root / "images" / f"strip_{number:03d}.png", number, number % 3 == 0)
    rows = [f"strip_{number:03d}.png,{int(number % 3 == 0)}" for number in range(count)]
    (root / "labels.csv").write_text("\n".join(["ImageId,spot", *rows]) + "\n")
    return root


def composed(*overrides: Any) -> NoveltyConfig:
    """The checked config of a small fit."""
    fill_store()
    words = short_forms([f"data.image_size=[{SIZE[0]},{SIZE[1]}]", *map(str, overrides)])
    with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
        return check_config(compose("novelty_config", words))


def fitted(folder: Path, *overrides: Any) -> dict[str, Any]:
    """The results of a small fit, whose experiment is in `folder`."""
    return fit(composed(f"experiment.results_dir={folder}", *overrides))
