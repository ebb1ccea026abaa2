"""Keys that reach trainings of any kind, and what changes with them."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from core.running import launching

Effects = dict[str, tuple[list[str], Callable[[Any], Any]]]


def processes_for(config: Any) -> int:
    """In how many processes this config is trained."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launching, "_in_processes", lambda devices, work: devices)
        return launching.launch(config, lambda: 1)


def updated(resolved: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """The values of a composed config after these overrides, without composing it again."""
    config = OmegaConf.create(resolved)
    for override in OverridesParser.create().parse_overrides(list(words)):
        OmegaConf.update(config, override.key_or_group, override.value(), merge=False)
    return OmegaConf.to_container(config)


# For each key, overrides and what the last of them changes in what the config is built into.
SHARED: Effects = {
    "data.bit_depth": (["data.bit_depth=12"], lambda b: b.chosen.image_format.bit_depth),
    "data.num_workers": (["data.num_workers=1"], lambda b: b.loader.num_workers),
    **{
        f"views.{key}": ([*more, f"views.{key}={value}"], lambda b: b.pixels)
        for key, value, *more in [
            ("horizontal_flip", 0), ("vertical_flip", 0), ("gain", 0.5), ("offset", 0.5),
            ("blur", 1), ("blur_sigma", 4, "views.blur=1"), ("window", "[32,32]"), ("crop", 0.5),
        ]
    },
    "training.learning_rate": (["training.learning_rate=0.5"], lambda b: b.rate_after(3)),
    "training.warmup_epochs": (["training.warmup_epochs=0"], lambda b: b.rate_after(1)),
    "training.weight_decay": (
        ["training.weight_decay=0.5"],
        lambda b: [group["weight_decay"] for group in b.learner.optimizer.param_groups],
    ),
    "training.gradient_clip_norm": (
        ["training.gradient_clip_norm=0.1"], lambda b: b.learner.gradient_clip_norm,
    ),
    "training.optimizer": (
        ["training.optimizer=lion"], lambda b: type(b.learner.optimizer).__name__,
    ),
    "training.accumulation_steps": (
        ["training.accumulation_steps=3"], lambda b: b.learner.accumulation_steps,
    ),
    "training.tested_epoch": (
        ["training.tested_epoch=last"], lambda b: b.trainer.settings.tested_epoch,
    ),
    "training.checkpoint_minutes": (
        ["training.checkpoint_minutes=0.5"], lambda b: b.trainer.checkpoints.minutes,
    ),
    "experiment.seed": (["experiment.seed=7"], lambda b: b.weight.sum().item()),
    "runtime.device": (["runtime.device=cpu"], lambda b: b.config.runtime.device),
    "runtime.devices": (["runtime.devices=2"], lambda b: processes_for(b.config)),
    # What `auto` takes depends on the processor.
    "runtime.precision": (
        ["runtime.precision=float32", "runtime.precision=bfloat16"],
        lambda b: b.learner.precision.name,
    ),
    "runtime.num_threads": (["runtime.num_threads=2"], lambda b: b.num_threads),
    "runtime.deterministic": (["runtime.deterministic=false"], lambda b: b.deterministic),
}  # fmt: skip
