"""What can be toggled: one key for each transform; null or false is off, true is on, and a plain
number is on with that probability.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.validation import Settings

Probability = Annotated[float, Field(ge=0, le=1, description="share of images it is applied to")]
Amount = Annotated[float, Field(ge=0, le=1, description="largest change, as a share")]
Fill = Literal["texture", "mean"]
BetaParameter = Annotated[
    float, Field(gt=0, le=100, description="of the Beta distribution drawn from; 1 is uniform")
]


class Toggle(Settings):
    """The settings of one transform."""

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, values: Any) -> Any:
        if isinstance(values, str):
            raise ValueError(
                "expected true, null, a probability, or keys such as {probability:0.5}"
            )
        return values

    def record(self) -> dict[str, Any]:
        """The transform with its settings, in JSON's types."""
        return {"__class_fullname__": type(self).__name__, **self.model_dump()}


class Flip(Toggle):
    """Mirror the image left to right (horizontal) or top to bottom (vertical)."""

    probability: Probability = 0.5


class Rotation(Toggle):
    """Turn by up to `degrees` either way; the strip's edge is mirrored outwards."""

    degrees: Annotated[float, Field(ge=0, le=45, description="largest angle, in degrees")] = 2.0
    probability: Probability = 0.3


class BrightnessContrast(Toggle):
    """Change brightness and contrast by up to these shares of the grey range."""

    brightness: Amount = 0.2
    contrast: Amount = 0.2
    probability: Probability = 0.5


class ColorJitter(Toggle):
    """Change the colour of colour strips; grey ones have no saturation and no hue to change."""

    saturation: Amount = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5, description="largest turn, 0.5 is half")] = 0.0
    probability: Probability = 0.5


class GaussianBlur(Toggle):
    """Blur with a kernel of 3 to `kernel_size` pixels."""

    kernel_size: Annotated[int, Field(ge=3, le=31, description="largest kernel, odd, pixels")] = 5
    probability: Probability = 0.1

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a kernel has an odd number of pixels, such as 3 or 5")
        return value


class Blackout(Toggle):
    """Paint out defects where their masks are; a label goes to 0 when all of its class is gone."""

    probability: float = Field(
        0.5, ge=0, le=1, description="share of an image's classes it is applied to"
    )
    fill: Fill = Field("texture", description="the strip's own texture, mirrored, or its mean grey")


class HorizontalShift(Toggle):
    """Shift along the strip; its black border stays black. Without masks only towards it."""

    pixels: Annotated[int, Field(ge=1, le=8192, description="longest way, in pixels")] = 64
    probability: Probability = 0.5


class Mixup(Toggle):
    """Blend an image, and its labels, with another of the batch; not allowed with mask_loss."""

    probability: Probability = 0.5
    alpha: BetaParameter = 0.2


class Cutmix(Toggle):
    """Insert a band of another image of the batch, across the strip, and label what shows."""

    probability: Probability = 0.5
    alpha: BetaParameter = 1.0


class AugmentationSettings(Settings):
    """Training-time transforms. A key of null or false switches its transform off; a number is its
    probability.
    """

    # A probability of 0 is off, with keys that can be set; `true` is on with the class's defaults.
    blackout: Blackout | None = Blackout(probability=0.0)
    horizontal_shift: HorizontalShift | None = HorizontalShift(probability=0.0)

    horizontal_flip: Flip | None = Flip()
    vertical_flip: Flip | None = Flip()
    rotation: Rotation | None = Rotation()
    brightness_contrast: BrightnessContrast | None = BrightnessContrast()
    color_jitter: ColorJitter | None = ColorJitter()
    gaussian_blur: GaussianBlur | None = GaussianBlur()
    mixup: Mixup | None = Mixup(probability=0.0)
    cutmix: Cutmix | None = Cutmix(probability=0.0)

    @field_validator("cutmix")
    @classmethod
    def _one_of_both(cls, cutmix: Cutmix | None, info: ValidationInfo) -> Cutmix | None:
        mixup = info.data.get("mixup")
        if mixup and cutmix and mixup.probability + cutmix.probability > 1:
            raise ValueError(
                f"an image is mixed up or cut, not both, and mixup.probability is already "
                f"{mixup.probability}: expected a sum of at most 1"
            )
        return cutmix

    @model_validator(mode="before")
    @classmethod
    def _toggles(cls, values: Any) -> Any:
        return {k: _toggle(v) for k, v in values.items()} if isinstance(values, dict) else values


def _toggle(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    return {"probability": value} if isinstance(value, (int, float)) else value
