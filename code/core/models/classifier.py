"""The base of all models: a timm network with attention, pooling and input as chosen."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import InputError
from core.models import parameters
from core.models.backbone_training import checkpoint_stages, freeze_up_to, layer_of_parameter
from core.models.cbam import attach_cbam
from core.models.frozen_stages import (
    features_after,
    goes_on_from,
    last_frozen_stage,
    output_from,
    still_modules,
)
from core.models.input_layer import fixed_size, install_input_layer
from core.models.mask_head import MaskHead, build_fusion, checked_shares, mask_size
from core.models.pooling import pooled_ahead, replace_pooling
from core.models.pretrained import create_backbone
from core.models.stages import find_stages
from core.models.weights import load_weights

# Shares are kept this far from 0 and 1: a class that is very rare in the training part starts at
# -6.9, from where it can still be learned.
SMALLEST_SHARE = 0.001


class TimmClassifier(nn.Module):
    """A whole timm network, from its stem to its own head, for strips of steel.

    `backbone` is timm's network with timm's names. Attention follows its stages by a hook, its
    pooling layer is replaced in place, and its head (ImageNet's final norm, if any, and a linear
    layer) is its own. A subclass names the network and states what else differs.

    Shape: (batch, 1 or 3, height, width), uint8 or floating in 0..1 -> logits (batch, classes);
    with a mask head a dict of `logits` and `mask_logits` (batch, classes, height / 4, width / 4)
    """

    backbone_name: str

    def __init__(
        self,
        *,
        num_classes: parameters.NumClasses = 4,
        pretrained: parameters.Pretrained = True,
        weights: parameters.Weights = None,
        cbam_stages: parameters.StageNumbers = (),
        cbam_reduction: parameters.Reduction = 16,
        cbam_kernel_size: parameters.KernelSize = 7,
        pooling: parameters.Pooling = "average",
        drop_rate: parameters.DropRate = 0.0,
        drop_path_rate: parameters.DropPathRate = 0.0,
        freeze_backbone: parameters.FreezeBackbone = False,
        freeze_stages: parameters.FreezeStages = 0,
        freeze_batch_norm: parameters.FreezeBatchNorm = False,
        mask_head: parameters.MaskHeadSwitch = False,
        mask_head_width: parameters.MaskHeadWidth = 32,
        fusion: parameters.Fusion = None,
        backbone_options: parameters.BackboneOptions = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.freeze_batch_norm = num_classes, freeze_batch_norm
        options = dict(backbone_options or {})
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        download = pretrained and weights is None
        self.backbone = create_backbone(
            self.backbone_name, download, options, num_classes=num_classes, **rates
        )
        if freeze_batch_norm and not any(
            isinstance(m, _BatchNorm) for m in self.backbone.modules()
        ):
            raise InputError(
                f"model.freeze_batch_norm=true: {self.backbone_name} has no batch normalisation: "
                "leave it out"
            )
        self.last_layers = self._find_last_layers()
        if not download or self.backbone.pretrained_cfg.get("num_classes") != num_classes:
            self._shrink_large_heads()
        self.stages = find_stages(self.backbone, self.backbone_name)
        self.stage_indices = [stage.index for stage in self.stages]
        size = fixed_size(self.backbone, options)
        # Before attention is added, which trains after a frozen stage too.
        freeze_up_to(self.backbone, self.stages, freeze_stages, size)
        cbam_options = {"reduction": cbam_reduction, "kernel_size": cbam_kernel_size}
        self.attention = attach_cbam(self.backbone, self.stages, cbam_stages, size, **cbam_options)
        replace_pooling(self.backbone, pooling)
        self.input_layer = install_input_layer(self.backbone, size)
        self.has_trained_head = False
        self._tried_stages: dict[int, bool] = {}
        if freeze_backbone:
            self._freeze_backbone()
        # After the backbone, which therefore starts the same, by the same seed, without one.
        channels = [stage.channels for stage in self.stages]
        self.mask_head = MaskHead(channels, num_classes, mask_head_width) if mask_head else None
        self.fusion = build_fusion(mask_head, fusion, num_classes)
        if weights is not None:
            self._load(weights)
        self.train()

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits (batch, classes); with a mask head `logits` and `mask_logits` in a dict."""
        images = self._normalised(images)
        if self.mask_head is None:
            return self.backbone(images)
        last, maps = self.backbone.forward_intermediates(images, indices=self.stage_indices)
        logits = self.backbone.forward_head(last)
        mask_logits = self.mask_head(maps, mask_size(images.shape[-2:]))
        if self.fusion is not None:
            logits = self.fusion(logits, mask_logits, self.mask_head.log_odds)
        return {"logits": logits, "mask_logits": mask_logits}

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """The map of every stage, attention included, (batch, channels, height, width) each."""
        return self.backbone.forward_intermediates(
            self._normalised(images), indices=self.stage_indices, intermediates_only=True
        )

    def frozen_features(self, images: Tensor) -> tuple[Tensor, int | None] | None:
        """What `classify` reads, and the number of the stage that it comes after.

        Without a number it is what the head reads, pooled if possible. None if the first stage is
        trained, if the network cannot go on from a stage, or if masks are predicted: a mask head
        reads the map of every stage. The model is in evaluation mode.
        """
        if self.mask_head is not None:
            return None
        images = self._normalised(images)
        head = {id(parameter) for parameter in self.head_parameters()}
        if not any(p.requires_grad and id(p) not in head for p in self.parameters()):
            return pooled_ahead(self.backbone, self.backbone.forward_features(images)), None
        with_attention = [int(name.removeprefix("stage")) for name in self.attention]
        stage = last_frozen_stage(self.backbone, self.stages, with_attention)
        features = None if stage is None else features_after(self.backbone, stage, images)
        if features is None:
            return None
        if stage.number not in self._tried_stages:
            goes_on = goes_on_from(self.backbone, stage, features, images)
            self._tried_stages[stage.number] = goes_on
        return (features, stage.number) if self._tried_stages[stage.number] else None

    def classify(self, features: Tensor, after_stage: int | None = None) -> Tensor:
        """The logits of the images with these `frozen_features`."""
        if after_stage is None:
            return self.backbone.forward_head(features)
        return output_from(self.backbone, self.stages[after_stage - 1], features)

    def check_image_size(self, height: int, width: int) -> None:
        """Raises InputError if the network accepts images of another size only."""
        self.input_layer.check_size(height, width)

    def set_class_shares(self, shares: Sequence[float]) -> None:
        """Start at the log-odds log(p / (1 - p)) of each class's share of the images.

        The first steps are then not spent on learning how rare defects are. Shares are kept
        within [SMALLEST_SHARE, 1 - SMALLEST_SHARE]. A head that came with `weights` stays as it is.
        """
        shares = checked_shares(shares, self.num_classes)
        if self.has_trained_head:
            return
        kept = [min(max(share, SMALLEST_SHARE), 1 - SMALLEST_SHARE) for share in shares]
        log_odds = torch.tensor([math.log(share / (1 - share)) for share in kept])
        with torch.no_grad():
            for name in self.last_layers:
                self.get_submodule(name).bias.copy_(log_odds)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep no activations inside stages, and compute them again in the backward pass."""
        checkpoint_stages(self.backbone, self.attention, enable, self.input_layer.size)

    def head_parameters(self) -> list[nn.Parameter]:
        """What `training.head_epochs` trains first: the head, a mask head and its fusion.

        Attention waits with the backbone. It starts as the identity, so that the head meets the
        features as the backbone's weights make them.
        """
        heads = [self.backbone.get_submodule(name) for name in self._head_names()]
        added = [part for part in (self.mask_head, self.fusion) if part is not None]
        return [parameter for part in (*heads, *added) for parameter in part.parameters()]

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """The number of a parameter's layer, from the stem up, by its name, for `layer_decay`."""
        return layer_of_parameter(self, coarse)

    def train(self, mode: bool = True) -> "TimmClassifier":
        """Training mode, except for frozen modules: no moving statistics, no dropped paths."""
        super().train(mode)
        for module in still_modules(self.backbone):
            module.eval()
        for module in self.backbone.modules():
            if self.freeze_batch_norm and isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _normalised(self, images: Tensor) -> Tensor:
        return self.input_layer(images, next(self.parameters()).dtype)

    def _load(self, weights: str) -> None:
        left = load_weights(self, weights, self.last_layers)
        self.has_trained_head = not any(f"{name}.weight" in left for name in self.last_layers)
        if self.mask_head is not None:
            self.mask_head.is_trained = "mask_head.classifier.weight" not in left

    def _freeze_backbone(self) -> None:
        heads = self._head_names()
        for name, parameter in self.backbone.named_parameters():
            if name.split(".")[0] not in heads:
                parameter.requires_grad_(False)

    def _head_names(self) -> list[str]:
        """The backbone's own modules that hold the last layers, with a norm before them if any."""
        return list(dict.fromkeys(name.split(".")[1] for name in self.last_layers))

    @torch.no_grad()
    def _shrink_large_heads(self) -> None:
        """Give a new head at most the spread of torch's own linear layer, 1 / sqrt(3 inputs).

        timm draws that of an EfficientNet by its outputs: with four classes its first logits are
        around +-10, and the first epochs are spent on unlearning them.
        """
        for name in self.last_layers:
            weight = self.get_submodule(name).weight
            usual = (3 * weight[0].numel()) ** -0.5
            if (spread := weight.std()) > 2 * usual:
                weight *= usual / spread

    def _find_last_layers(self) -> tuple[str, ...]:
        """Names of the layers that give the logits: more than one in a distilled network."""
        classifier = self.backbone.get_classifier()
        heads = classifier if isinstance(classifier, tuple) else (classifier,)
        inside = {module for head in heads for module in head.modules()}
        names = tuple(
            name
            for name, module in self.named_modules()
            if module in inside
            and isinstance(module, (nn.Linear, nn.Conv2d))
            and module.weight.shape[0] == self.num_classes
            and module.bias is not None
        )
        if not names:
            raise InputError(
                f"model: {self.backbone_name} ends in no linear layer with a bias: "
                "choose another backbone"
            )
        return names
