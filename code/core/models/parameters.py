"""Parameters that all models share: type, bounds and what each is, said once."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from core.models.pooling import PoolingKind
from core.validation import OnlyWith

NumClasses = Annotated[int, Field(ge=1, description="number of classes; null: as in the data")]
Pretrained = Annotated[
    bool,
    Field(description="start from ImageNet weights: downloaded by timm, or installed (Lite0)"),
]
Weights = Annotated[
    str | None,
    Field(description="local file to start from: safetensors or a state_dict, with timm's keys"),
]
StageNumbers = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    Field(description="the stages, counted from 1, that CBAM follows"),
]
Reduction = Annotated[
    int,
    Field(ge=1, description="CBAM: channels over hidden channels of its MLP"),
    OnlyWith(("cbam_stages",)),
]
KernelSize = Annotated[
    Literal[3, 5, 7],
    Field(description="CBAM: side of the spatial gate's convolution"),
    OnlyWith(("cbam_stages",)),
]
Pooling = Annotated[PoolingKind, Field(description="how the last feature map becomes one vector")]
DropRate = Annotated[float, Field(ge=0, lt=1, description="dropout before the last layer")]
DropPathRate = Annotated[
    float, Field(ge=0, lt=1, description="stochastic depth, in the stages that train")
]
FreezeBackbone = Annotated[bool, Field(description="train CBAM and the head alone")]
FreezeStages = Annotated[
    int, Field(ge=0, le=4, description="freeze the stem and this many stages; 0: nothing")
]
FreezeBatchNorm = Annotated[
    bool,
    Field(
        description="keep the statistics of the backbone's batch normalisation as the weights "
        "brought them; its scales and shifts train"
    ),
]
BackboneOptions = Annotated[
    dict[str, Any] | None, Field(description="further arguments of timm.create_model")
]
MaskHeadSwitch = Annotated[
    bool, Field(description="also predict masks, at 1/4 of the image's size")
]
Fusion = Annotated[
    bool | None,
    Field(description="add the masks' evidence to the image's logits; null: with a mask head"),
]
MaskHeadWidth = Annotated[
    int, Field(ge=4, le=512, description="channels of the mask head"), OnlyWith(("mask_head",))
]


def without_weights(values: Mapping[str, Any]) -> dict[str, Any]:
    """The model's values for weights from a checkpoint: no download, and no local file."""
    without = {"weights": None, "pretrained": False}
    return {key: without.get(key, value) for key, value in values.items()}
