"""The types of what analysis reads in results.json; what else stands there is left alone."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InputError

Figure = float | None
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)] | None
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Intervals(_Part):
    macro: dict[str, Bounds] | None = None
    micro: dict[str, Bounds] | None = None
    any_defect: dict[str, Bounds] | None = None
    per_class: dict[str, dict[str, Bounds]] | None = None
    subset_accuracy: Bounds = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None


class _Localization(_Part):
    macro: dict[str, Figure]
    per_class: dict[str, dict[str, Figure]]


class _Figures(_Part):
    num_images: Count | None = None
    macro: dict[str, Figure]
    micro: dict[str, Figure] | None = None
    any_defect: dict[str, Figure] | None = None
    per_class: dict[str, dict[str, Figure]]
    subset_accuracy: Figure = None
    undefined: dict[str, Count | list[str]] | None = None
    intervals: _Intervals | None = None
    localization: _Localization | None = None


class _SplitPart(_Part):
    num_images: Count
    class_counts: dict[str, Count] = Field(default_factory=dict)


class _Split(_Part):
    parts: dict[str, _SplitPart] | None = None


class _Data(_Part):
    root: str | None = None
    class_names: Annotated[list[Name], Field(min_length=1)]
    num_images: Count | None = None
    split: _Split | None = None


class _EpochFigures(_Part):
    loss: Figure = None
    macro_f1: Figure = None
    macro_average_precision: Figure = None
    macro_auroc: Figure = None
    per_class_f1: dict[str, Figure] | None = None


class _Epoch(_Part):
    epoch: Count
    train: _EpochFigures | None = None
    validation: _EpochFigures | None = None
    loss_weights: dict[str, Figure] | None = None


class _Bin(_Part):
    mean_probability: Figure
    share_of_positives: Figure
    num_images: Count


class _Reliability(_Part):
    expected_calibration_error: Figure
    brier_score: Figure
    reliability: list[_Bin]


class _Scaled(_Part):
    per_class: dict[str, _Reliability] = Field(default_factory=dict)


class _Calibration(_Part):
    method: str | None = None
    after: _Scaled | None = None


class _Results(_Part):
    config: dict[str, Any]
    data: _Data
    test: _Figures
    validation: _Figures | None = None
    test_at_thresholds: _Figures | None = None
    experiment: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    loss: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    history: list[_Epoch] | None = None
    best_epoch: Count | None = None
    thresholds: dict[str, Figure] | None = None
    calibration: _Calibration | None = None


def check_results(results: dict[str, Any], file: Path) -> None:
    """Check the type of everything that analysis looks up.

    Raises:
        InputError: names the first key that is not what a run writes, or a class named twice.
    """
    try:
        names = _Results.model_validate(results).data.class_names
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))[:120]
        raise InputError(
            f"{file}: {key}={repr(first['input'])[:60]}: {first['msg']}; expected the results.json "
            "of a run: copy it again, or train again"
        ) from None
    if len(set(names)) < len(names):
        raise InputError(f"{file}: data.class_names names a class twice: {', '.join(names)[:80]}")
