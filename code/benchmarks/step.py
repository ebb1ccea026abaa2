"""One training step: forward, backward, update."""

from pathlib import Path
from typing import Any

import core.machine.torchvision_ops  # noqa: F401

import timm
import torch
from torch import nn

from benchmarks.masks import mask_loss, mask_targets
from benchmarks.measurement import Contender, measure, table
from benchmarks.operators import operator_shares, shares_text
from benchmarks.options import Options, random_images
from core.losses.factory import get_loss
from core.models.depthwise import use_matmul_gradients
from core.models.registry import get_registry
from core.training.classification.objective import Objective
from core.training.classification.task import ClassificationTask
from core.training.learner import Learner
from core.training.settings import RuntimeSettings, TrainingSettings
from core.training.trainer import update

ITEM = "strip"
_DEFAULT = "ours, as by default"
_MATMUL = "depthwise_gradient=matmul"


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of all contenders, and the text that shows them and what our steps spend time in."""
    found = contenders(options, folder)
    rows = measure(found, options.rounds)
    lines = [table(rows, ITEM), ""]
    for contender, row in zip(found, rows, strict=True):
        if contender.name in (_DEFAULT, _MATMUL):
            row["operator_shares"] = operator_shares(contender.run, options.device)
            lines.append(f"time of {contender.name}: {shares_text(row['operator_shares'])}")
    return rows, "\n".join(lines)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """Eager float32 first; then our step in what the device computes in natively.

    Beside our own step: the weight gradient of depthwise convolutions as matrix products; a mask
    head and the loss of `supervision=masks`.
    """
    images, labels = random_images(options)
    batch = {"image": images, "labels": labels, "image_id": [""] * len(labels)}
    ways = {
        "ours, float32": RuntimeSettings(precision="float32", channels_last=False),
        _DEFAULT: RuntimeSettings(),
        "ours, other layout": RuntimeSettings(
            channels_last=not RuntimeSettings().uses_channels_last(options.device)
        ),
    }
    steps = {"eager float32 NCHW": PlainStep(options, images, labels)}
    for name, runtime in ways.items():
        steps[name] = OurStep(learner(options, runtime), batch)
    found = [Contender(name, step, options.batch_size) for name, step in steps.items()]
    faster = learner(options, RuntimeSettings())
    computed = (options.device.type, faster.precision.name)
    if computed == ("cpu", "bfloat16") and use_matmul_gradients(faster.model):
        step = OurStep(faster, batch)
        found.append(Contender(_MATMUL, step, options.batch_size, beside=_DEFAULT))
    masks = mask_targets(options, labels)
    supervised = OurStep(mask_learner(options, masks["mask_targets"]), batch | masks)
    return [*found, Contender("with masks", supervised, options.batch_size, beside=_DEFAULT)]


class PlainStep:
    """What a tutorial's loop does: three float channels, the default AdamW, the loss's number."""

    def __init__(self, options: Options, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.model = our_model(options).to(options.device).train()
        self.loss = nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.images = (images.float() / 255).expand(-1, 3, -1, -1).contiguous()
        self.labels = labels

    def __call__(self) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class OurStep:
    """The trainer's own update."""

    def __init__(self, learner: Learner, batch: dict) -> None:
        self.learner, self.batch = learner, batch
        self.task = ClassificationTask(learner.objective, {"train": [batch]}, (), seed=0)
        learner.model.train()

    def __call__(self) -> None:
        update(self.learner, self.task, [self.batch])


def learner(options: Options, runtime: RuntimeSettings) -> Learner:
    """A learner with the default settings, for this model and device."""
    return _learner(options, our_model(options), Objective(_image_loss()), runtime)


def mask_learner(options: Options, targets: torch.Tensor) -> Learner:
    """The same with a mask head, supervised by masks such as these."""
    objective = Objective(_image_loss(), *mask_loss(targets))
    return _learner(options, our_model(options, mask_head=True), objective, RuntimeSettings())


def _image_loss() -> nn.Module:
    return get_loss({"type": "bce_with_logits"})


def _learner(
    options: Options, model: nn.Module, objective: Objective, runtime: RuntimeSettings
) -> Learner:
    return Learner.create(
        model,
        objective,
        TrainingSettings(),
        steps_per_epoch=1000,
        device=options.device,
        runtime=runtime,
    )


def our_model(options: Options, **params: Any) -> nn.Module:
    """The registered model, or a network of timm by its name, from scratch."""
    values = model_values(options)
    return get_registry().instantiate(values.pop("name"), **values, **params)


def model_values(options: Options) -> dict[str, Any]:
    """The same as the values of a config.

    Raises:
        UnknownComponentError: neither the registry nor timm knows the name.
    """
    registry, name = get_registry(), options.model
    if name in registry:
        return {"name": name, "pretrained": False}
    if name not in timm.list_models():
        registry.get(name)  # says which names there are
    return {"name": "timm", "backbone": name, "pretrained": False}
