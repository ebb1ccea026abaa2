"""The figures in results.json: of each epoch, of each part, and of the calibration."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Figure = float | None
Text = str | None
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Value = TypeVar("Value")


class Section(BaseModel):
    """A field is optional where not every run, or no earlier version, writes it."""

    model_config = ConfigDict(extra="allow", strict=True)


class TrainFigures(Section):
    loss: Figure = None
    duration_seconds: Figure = None
    images_per_second: Figure = None
    data_wait_share: Figure = None


class ValidationFigures(Section):
    loss: Figure = None
    macro_f1: Figure = None
    macro_average_precision: Figure = None
    macro_auroc: Figure = None
    per_class_f1: dict[str, Figure] | None = None
    macro_dice: Figure = None
    macro_pointing_accuracy: Figure = None


class LossTerm(Section):
    raw: Figure = None
    weighted: Figure = None
    weight: Figure = None


class Epoch(Section):
    epoch: Count
    learning_rate: Figure = None
    train: TrainFigures | None = None
    validation: ValidationFigures | None = None
    loss_terms: dict[str, LossTerm] | None = None
    loss_weights: dict[str, Figure] | None = None


class Scores(Section, Generic[Value]):
    precision: Value | None = None
    recall: Value | None = None
    f1: Value | None = None
    average_precision: Value | None = None
    auroc: Value | None = None


class CountedScores(Scores[float]):
    support: Count | None = None
    true_positives: Count | None = None
    false_positives: Count | None = None
    false_negatives: Count | None = None
    true_negatives: Count | None = None


class Intervals(Section):
    macro: Scores[Interval] | None = None
    micro: Scores[Interval] | None = None
    any_defect: Scores[Interval] | None = None
    per_class: dict[str, Scores[Interval]] | None = None
    subset_accuracy: Interval | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    resamples: Count | None = None
    seed: int | None = None


class MaskFigures(Section):
    dice: Figure = None
    dice_with_defect: Figure = None
    iou: Figure = None
    pointing_accuracy: Figure = None


class CountedMaskFigures(MaskFigures):
    num_with_mask: Count | None = None


class Localization(Section):
    num_images: Count | None = None
    macro: MaskFigures
    per_class: dict[str, CountedMaskFigures]


class PartFigures(Section):
    num_images: Count | None = None
    threshold: float | dict[str, float] | None = None
    macro: Scores[float]
    micro: Scores[float] | None = None
    any_defect: CountedScores | None = None
    per_class: dict[str, CountedScores]
    subset_accuracy: Figure = None
    undefined: dict[str, Count | list[str]] | None = None
    intervals: Intervals | None = None
    localization: Localization | None = None


class Bin(Section):
    low: Figure = None
    high: Figure = None
    num_images: Count
    mean_probability: Figure
    share_of_positives: Figure


class CalibrationErrors(Section):
    expected_calibration_error: Figure
    brier_score: Figure


class ClassCalibration(CalibrationErrors):
    reliability: list[Bin]


class CalibrationFigures(Section):
    macro: CalibrationErrors | None = None
    per_class: dict[str, ClassCalibration] = Field(default_factory=dict)


class ClassScaling(Section):
    slope: float
    intercept: float


class Calibration(Section):
    method: Text = None
    before: CalibrationFigures | None = None
    scaling: dict[str, ClassScaling] | None = None
    after: CalibrationFigures | None = None
