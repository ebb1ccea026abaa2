"""Features of each patch of an image, from the stages of a backbone that is not trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.errors import InputError
from core.models.classifier import TimmClassifier
from core.models.encoder import as_encoder
from core.models.parameters import without_weights
from core.models.registry import get_registry
from core.models.stages import pick_stage
from core.novelty.smoothing import evened

DEFAULT_BACKBONE = "efficientnet_lite0"

Stages = Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1)]
Options = Mapping[str, Any] | None
EvenLight = Annotated[
    float | None,
    Field(
        ge=1,
        le=256,
        description="pixels over which the light of the image is evened out first; null: not",
    ),
]
Standardized = Annotated[
    bool, Field(description="features in units of their deviation over the same image")
]


class PatchFeatures(nn.Module):
    """The maps of some stages, each averaged over 3x3, concatenated at the first one's stride.

    If `mirrored`, the image is mirrored by the largest stride, and the maps are cut back: the zeros
    with which convolutions pad make the patches at the border look unlike all others.

    Shape: uint8 (batch, 1 or 3, height, width) -> float32 (batch, features, rows, columns)
    Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", section 3.1
    """

    def __init__(
        self,
        model: TimmClassifier,
        stages: Sequence[int],
        even_light: float | None = None,
        standardized: bool = False,
        mirrored: bool = True,
    ) -> None:
        super().__init__()
        picked = [pick_stage(model.stages, n, f"detector.stages={list(stages)}") for n in stages]
        picked.sort(key=lambda stage: stage.number)
        self.indices = [stage.index for stage in picked]
        self.strides = [stage.reduction for stage in picked]
        self.model = model.eval().requires_grad_(False)
        self.even_light, self.standardized = even_light, standardized
        self.mirrored = mirrored and not model.input_layer.size

    def forward(self, images: Tensor) -> Tensor:
        margin = self._margin(min(int(images.shape[-2]), int(images.shape[-1])))
        scaled = images.float() / 255
        if margin:
            scaled = F.pad(scaled, (margin,) * 4, mode="reflect")
        if self.even_light is not None:
            scaled = evened(scaled, self.even_light)
        maps = self.model.backbone.forward_intermediates(
            self.model.input_layer(scaled, torch.float32),
            indices=self.indices,
            stop_early=True,
            intermediates_only=True,
        )
        first, *others = map(_averaged, maps, [margin // stride for stride in self.strides])
        others = [F.interpolate(each, first.shape[-2:], mode="bilinear") for each in others]
        maps = [first, *others]
        return torch.cat([_standardized(m) for m in maps] if self.standardized else maps, dim=1)

    def _margin(self, shortest: int) -> int:
        """Pixels to mirror: a multiple of each stride, less than the image has."""
        largest = max(self.strides)
        return largest if self.mirrored and largest < shortest else 0

    def train(self, mode: bool = True) -> "PatchFeatures":
        """Stays in evaluation mode: the statistics of the backbone are part of its weights."""
        return super().train(False)


def _averaged(features: Tensor, margin: int) -> Tensor:
    """The map averaged over 3x3, without so many cells at each side."""
    averaged = F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
    rows, columns = (int(length) - margin for length in features.shape[-2:])
    return averaged[..., margin:rows, margin:columns]


def _standardized(features: Tensor) -> Tensor:
    """Each feature less its mean over the image, in units of its deviation there."""
    centred = features - features.mean((2, 3), keepdim=True)
    deviation = centred.square().mean((2, 3), keepdim=True).sqrt()
    # Features that hardly vary in the image stay small.
    return centred / (deviation + 0.1 * deviation.mean(1, keepdim=True) + 1e-6)


def build_backbone(
    name: str | None, options: Options, pretrained: bool, weights: str | None
) -> tuple[TimmClassifier, dict[str, Any]]:
    """The backbone, and the arguments `backbone` and `backbone_options` that build it again.

    `weights` is a file of weights, or an experiment, which then also names the network.
    Raises InputError where there is no such network, file or experiment.
    """
    if weights is not None and (experiment := _experiment_of(weights)) is not None:
        return _of_experiment(experiment, name)
    name = name or DEFAULT_BACKBONE
    for key in ("pretrained", "weights"):
        if (options or {}).get(key):
            raise InputError(f"detector.backbone_options: {key}: is detector.{key}: give that")
    values = {"num_classes": 1, **(options or {}), "pretrained": pretrained, "weights": weights}
    model = get_registry().instantiate(name, **values)
    return as_encoder(model, f"detector.backbone={name}"), _rebuilt(name, options or {})


def _experiment_of(weights: str) -> Path | None:
    """The experiment that `weights` names; None for a file that lies in none."""
    path = Path(weights)
    if not path.is_file():
        return path
    return path.parent if (path.parent / "results.json").is_file() else None


def _of_experiment(location: Path, name: str | None) -> tuple[TimmClassifier, dict[str, Any]]:
    from core.similarity.encoder import open_encoder  # imports what reads experiments

    encoder = open_encoder(location)
    values = dict(encoder.experiment.results["config"]["model"])
    own = str(values.pop("name"))
    if name not in (None, own):
        raise InputError(
            f"detector.backbone={name}: detector.weights={location} has the network {own}: leave "
            "detector.backbone out"
        )
    return encoder.model.cpu(), _rebuilt(own, values)


def _rebuilt(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"mask_head": False, "fusion": None, "num_classes": 1}
    without = {k: v for k, v in without_weights(dict(values)).items() if k != "pretrained"}
    return {"backbone": name, "backbone_options": {**without, **kept}}
