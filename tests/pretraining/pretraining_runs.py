"""Small strips, and pretrainings of them that take a second."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from conftest import REPOSITORY
from hydra import compose, initialize_config_dir
from outcomes import plain, read
from safetensors import safe_open

from core.machine import distributed
from core.pretraining.command import check_config, fill_store, short_forms
from core.pretraining.composition import pretrain
from core.pretraining.losses import BarlowTwinsLoss, ClipLoss, NTXentLoss, VICRegLoss
from core.pretraining.losses.gathering import gather_embeddings
from core.pretraining.settings import PretrainConfig

SIZE = (32, 64)
SMALL = [
    f"data.image_size=[{SIZE[0]},{SIZE[1]}]",
    "data.batch_size=6",
    "model=timm",
    "model.backbone=test_resnet",
    "model.pretrained=false",
    "training.num_epochs=2",
    "training.learning_rate=0.003",
    "runtime.precision=float32",
]
LOSSES = (NTXentLoss, VICRegLoss, BarlowTwinsLoss, ClipLoss)

SMALL_EMBEDDINGS = ["method.hidden_size=16", "method.embedding_size=8"]


def write_strips(folder: Path, numbers: Sequence[int]) -> Path:
    """A JPEG for each number, each of another texture."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 256, SIZE, np.uint8)
        content = cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 1 + number % 3))[1]
        (folder / f"strip_{number:03d}.jpg").write_bytes(content.tobytes())
    return folder


def write_labelled(root: Path, count: int = 40) -> Path:
    """A labelled data set: the kind of blur, as two classes; the third kind is clean."""
    write_strips(root / "images", range(count))
    rows = [f"strip_{n:03d}.jpg,{int(n % 3 == 0)},{int(n % 3 == 1)}" for n in range(count)]
    (root / "labels.csv").write_text("\n".join(["ImageId,fine,medium", *rows]) + "\n")
    return root


def composed(*overrides: Any) -> PretrainConfig:
    """The checked config of a small pretraining."""
    small = SMALL if "method.name=synthetic_defects" in overrides else [*SMALL, *SMALL_EMBEDDINGS]
    fill_store()
    with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
        words = short_forms([*small, *map(str, overrides)])
        return check_config(compose("pretrain_config", overrides=words))


def outcome(path: Path) -> dict[str, Any]:
    """Figures, encoder, and every number of the last checkpoint of a completed pretraining."""
    results = read(path)
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    kept = {key: plain(results[key]) for key in ("history", "test", "best_epoch", "collapsed")}
    with safe_open(path / "encoder.safetensors", "pt") as file:
        encoder = {key: plain(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
        encoder["card"] = file.metadata()
    return {**kept, "last": plain({k: last[k] for k in ("model", "objective", "optimizer")}),
            "encoder": encoder}  # fmt: skip


def run_script(monkeypatch, *arguments: Any) -> int:
    """The exit code of `python code/pretrain.py ARGUMENTS`, run in this process."""
    import logging

    from hydra.core.global_hydra import GlobalHydra

    import pretrain
    from core.command.mistakes import run_command
    from core.pretraining.command import explain_key

    monkeypatch.setattr(sys, "argv", ["code/pretrain.py", *map(str, arguments)])
    logging.getLogger().handlers.clear()
    try:
        run_command(pretrain.main, explain_key)
    except SystemExit as ended:
        return ended.code
    finally:
        GlobalHydra.instance().clear()
    return 0


def pretrain_one(config: PretrainConfig) -> None:
    """A job of processes that train together."""
    pretrain(config)


def compare_losses() -> None:
    """A job of two processes, of which each has some rows: losses and gradients are the whole's."""
    sizes, generator = [3, 2], torch.Generator().manual_seed(0)
    first, second = torch.randn(2, sum(sizes), 8, generator=generator)
    start = sum(sizes[: distributed.rank()])
    own = slice(start, start + sizes[distributed.rank()])
    for make in LOSSES:
        whole = first.clone().requires_grad_()
        expected = make()(whole, second, torch.arange(5))
        expected.backward()
        rows = first[own].clone().requires_grad_()
        gathered = (gather_embeddings(each, sizes) for each in (rows, second[own]))
        value = make()(*gathered, torch.arange(5))
        value.backward()
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
        # DistributedDataParallel takes the mean over the two.
        torch.testing.assert_close(rows.grad / 2, whole.grad[own], rtol=1e-5, atol=1e-6)
