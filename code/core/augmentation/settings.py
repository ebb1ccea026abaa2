"""What can be toggled: one key a transform, off with null or false, on with true."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.validation import Settings

Probability = Annotated[float, Field(ge=0, le=1, description="share of images it is applied to")]
Amount = Annotated[float, Field(ge=0, le=1, description="largest change, as a share")]


class Flip(Settings):
    """Mirror the image left to right (horizontal) or top to bottom (vertical)."""

    probability: Probability = 0.5


class Rotation(Settings):
    """Turn by up to `degrees` either way; what comes in from outside mirrors the strip's edge."""

    degrees: Annotated[float, Field(ge=0, le=45, description="largest angle, in degrees")] = 2.0
    probability: Probability = 0.3


class BrightnessContrast(Settings):
    """Change brightness and contrast by up to these shares of the grey range."""

    brightness: Amount = 0.2
    contrast: Amount = 0.2
    probability: Probability = 0.5


class ColorJitter(Settings):
    """Change the colour of colour strips; grey ones have no saturation and no hue to change."""

    saturation: Amount = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5, description="largest turn, 0.5 is half")] = 0.0
    probability: Probability = 0.5


class GaussianBlur(Settings):
    """Blur with a kernel of 3 to `kernel_size` pixels."""

    kernel_size: Annotated[int, Field(ge=3, le=31, description="largest kernel, odd, pixels")] = 5
    probability: Probability = 0.1

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a kernel has an odd number of pixels, such as 3 or 5")
        return value


class Blackout(Settings):
    """Paint out defects where their masks are; a label goes to 0 when all of its class is gone."""

    probability: Annotated[
        float, Field(ge=0, le=1, description="share of an image's classes it is applied to")
    ] = 0.5
    fill: Literal["texture", "mean"] = Field(
        "texture", description="the strip's own texture, mirrored, or its mean grey"
    )


class HorizontalShift(Settings):
    """Shift along the strip, its black border staying black; without masks towards it only."""

    pixels: Annotated[int, Field(ge=1, le=8192, description="longest way, in pixels")] = 64
    probability: Probability = 0.5


class Mixup(Settings):
    """Blend an image, and its labels, with another of the batch; not beside mask_loss."""

    probability: Probability = 0.5
    alpha: Annotated[
        float, Field(gt=0, le=100, description="of the Beta law of the shares; 1 draws evenly")
    ] = 0.2


class Cutmix(Settings):
    """Put a band of another image of the batch in, across the strip, and label what shows."""

    probability: Probability = 0.5
    alpha: Annotated[
        float, Field(gt=0, le=100, description="of the Beta law of the widths; 1 draws evenly")
    ] = 1.0


class AugmentationSettings(Settings):
    """Training-time transforms. A key of null or false switches its transform off."""

    # With a probability of 0 off, yet with keys to set; `true` is on with the class's defaults.
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
        """`false` is off, `true` is on with the defaults."""
        if not isinstance(values, dict):
            return values
        switch = {False: None, True: {}}
        return {
            key: switch[value] if isinstance(value, bool) else value
            for key, value in values.items()
        }
