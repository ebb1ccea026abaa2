"""The registered models: each states what it is and where it differs from the base."""

from typing import Annotated, Any, Literal

from pydantic import Field

from core.models.classifier import TimmClassifier
from core.models.parameters import BackboneOptions, MaskHeadWidth, Pooling, StageNumbers
from core.models.registry import get_registry

registry = get_registry()


@registry.register("convnext_tiny", tags=["convnext"])
class ConvNeXtTiny(TimmClassifier):
    """ConvNeXt-Tiny: 28 M parameters, strong from ImageNet weights, slow from scratch.

    Source: Liu et al. 2022, "A ConvNet for the 2020s"
    """

    backbone_name = "convnext_tiny"


@registry.register("convnext_tiny_cbam", tags=["convnext", "attention"])
class ConvNeXtTinyCBAM(TimmClassifier):
    """ConvNeXt-Tiny with CBAM after stages 3 and 4 (384 and 768 channels).

    Source: Liu et al. 2022, "A ConvNet for the 2020s"; Woo et al. 2018, "CBAM: Convolutional
    Block Attention Module"
    """

    backbone_name = "convnext_tiny"

    def __init__(self, *, cbam_stages: StageNumbers = (3, 4), **options: Any) -> None:
        super().__init__(cbam_stages=cbam_stages, **options)


@registry.register("convnext_atto", tags=["convnext", "small"])
class ConvNeXtAtto(TimmClassifier):
    """ConvNeXt-Atto: 3.4 M parameters, the smallest ConvNeXt with ImageNet weights.

    Source: Liu et al. 2022, "A ConvNet for the 2020s"; this size by Wightman 2022, in timm
    """

    backbone_name = "convnext_atto"


@registry.register("convnext_atto_cbam", tags=["convnext", "attention", "small"])
class ConvNeXtAttoCBAM(ConvNeXtTinyCBAM):
    """ConvNeXt-Atto with CBAM after stages 3 and 4 (160 and 320 channels).

    Source: Liu et al. 2022, "A ConvNet for the 2020s"; Woo et al. 2018, "CBAM: Convolutional
    Block Attention Module"
    """

    backbone_name = "convnext_atto"


@registry.register("resnet50", tags=["resnet"])
class ResNet50(TimmClassifier):
    """ResNet-50: 24 M parameters, batch normalisation, learns from scratch in a few epochs.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition"
    """

    backbone_name = "resnet50"


@registry.register("resnet10_slim", tags=["resnet", "small"])
class ResNet10Slim(TimmClassifier):
    """ResNet of 10 layers and 0.3 M parameters, from scratch: learns within minutes on a CPU.

    One block per stage, of 16 to 128 channels; there are no published weights for it. Average and
    maximum pooling together, since an average alone hides small defects.
    Source: He et al. 2016, "Deep Residual Learning for Image Recognition"; the stem of He et al.
    2019, "Bag of Tricks for Image Classification with Convolutional Neural Networks"
    """

    backbone_name = "resnet10t"

    def __init__(
        self,
        *,
        pretrained: Annotated[
            Literal[False], Field(description="there are no weights of this width")
        ] = False,
        pooling: Pooling = "average_max",
        mask_head_width: MaskHeadWidth = 16,
        backbone_options: BackboneOptions = None,
        **options: Any,
    ) -> None:
        slim = {"channels": (16, 32, 64, 128), "stem_width": 8, **(backbone_options or {})}
        super().__init__(
            pretrained=pretrained,
            pooling=pooling,
            mask_head_width=mask_head_width,
            backbone_options=slim,
            **options,
        )


@registry.register("efficientnet_b2", tags=["efficientnet"])
class EfficientNetB2(TimmClassifier):
    """EfficientNet-B2: 7.7 M parameters, depthwise convolutions, batch normalisation.

    Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks"
    """

    backbone_name = "efficientnet_b2"


@registry.register("efficientnet_lite0", tags=["efficientnet", "small"])
class EfficientNetLite0(TimmClassifier):
    """EfficientNet-Lite0: 3.4 M parameters, its ImageNet weights are installed with the project.

    No download: a package of requirements.txt holds them. Batch normalisation, and neither swish
    nor squeeze-and-excitation, which makes it fast on CPUs and in 8 bits.
    Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks"; the Lite variants by Liu 2020, "Higher accuracy on vision models with
    EfficientNet-Lite"
    """

    backbone_name = "tf_efficientnet_lite0"


@registry.register("efficientnet_lite0_cbam", tags=["efficientnet", "attention", "small"])
class EfficientNetLite0CBAM(ConvNeXtTinyCBAM):
    """EfficientNet-Lite0 with CBAM after stages 3 and 4 (112 and 320 channels), weights installed.

    Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks"; Woo et al. 2018, "CBAM: Convolutional Block Attention Module"
    """

    backbone_name = "tf_efficientnet_lite0"


@registry.register("timm", tags=["any"])
class TimmNetwork(TimmClassifier):
    """Any network of timm that offers its stages, by `backbone`.

    Source: Wightman 2019, "PyTorch Image Models"
    """

    def __init__(
        self,
        *,
        backbone: Annotated[str, Field(description="a name from timm.list_models()")] = "resnet18",
        **options: Any,
    ) -> None:
        # nn.Module accepts a plain string before its own constructor has run.
        self.backbone_name = backbone
        super().__init__(**options)
