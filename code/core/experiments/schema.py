"""results.json: every section and field of it, for the side that writes and the side that reads.

What is not here cannot be written, and what no run writes fails a test.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from core.errors import InputError
from core.metrics.scored_predictions import METRICS

SCHEMA_VERSION = 1

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Counts = dict[str, Count]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
ClassName = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """Unknown fields are kept when a file is read, and refused when a run writes them."""

    model_config = ConfigDict(extra="allow", strict=True)


def section(name: str, base: type[Section] = Section, /, **fields: Any) -> type[Section]:
    """A section whose fields may be missing, since not every run or earlier version writes them."""
    optional = {key: (kind | None, None) for key, kind in fields.items()}
    return create_model(name, __base__=base, **optional)


Resumption = section(
    "Resumption", time=str, command=str, changed=dict[str, Any],
    epoch=Count, step=Count, checkpoint=str, problems=list[str],
)  # fmt: skip
Head = section(
    "Head", name=str, created_at=str, command=str, seed=int,
    settled=dict[str, str], resumed_at=list[Resumption],
)  # fmt: skip
Commit = section("Commit", commit=str, changed=bool)
Hardware = section(
    "Hardware", processor=str, cores=Count, torch_threads=Count, device=str, accelerator=str
)
Environment = section(
    "Environment", python=str, platform=str, packages=dict[str, str | None],
    git=Commit, hardware=Hardware,
)  # fmt: skip
Computation = section(
    "Computation", precision=str, channels_last=bool, compiled=bool, devices=Count
)
InitialWeights = section("InitialWeights", source=str, licence=str)
Model = section(
    "Model", name=str, num_parameters=Count, num_trainable_parameters=Count,
    initial_weights=InitialWeights,
)  # fmt: skip
Loss = section("Loss", type=str, params=dict[str, Any])
MaskLoss = section("MaskLoss", Loss, weight=float)
Timings = section("Timings", training_seconds=float, evaluation_seconds=float)


class SplitPart(Section):
    num_images: Count
    clean: Count | None = None
    class_counts: Counts = Field(default_factory=dict)


SkippedImage = section("SkippedImage", image_id=str, reason=str)
Split = section("Split", strategy=str, seed=int, parts=dict[str, SplitPart])
Sampler = section(
    "Sampler", name=str, expected_class_shares=dict[str, float], expected_clean_share=float
)


class Data(Section):
    root: str | None = None
    source: str | None = None
    fingerprint: str | None = None
    class_names: Annotated[list[ClassName], Field(min_length=1)]
    image_size: list[Count] | None = None
    num_images: Count | None = None
    class_counts: Counts | None = None
    skipped_images: list[SkippedImage] | None = None
    num_duplicate_pairs: Count | None = None
    split: Split | None = None
    sampler: Sampler | None = None


TrainFigures = section(
    "TrainFigures", loss=float, duration_seconds=float, images_per_second=float,
    data_wait_share=float,
)  # fmt: skip
ValidationFigures = section(
    "ValidationFigures", loss=float, macro_f1=float, macro_average_precision=float,
    macro_auroc=float, per_class_f1=dict[str, float | None],
    macro_dice=float, macro_pointing_accuracy=float,
)  # fmt: skip
LossTerm = section("LossTerm", raw=float, weighted=float, weight=float)


class Epoch(Section):
    epoch: Count
    learning_rate: float | None = None
    train: TrainFigures | None = None
    validation: ValidationFigures | None = None
    loss_terms: dict[str, LossTerm] | None = None
    loss_weights: dict[str, float | None] | None = None


Scores = section("Scores", **dict.fromkeys(METRICS, float))
CountedScores = section(
    "CountedScores", Scores, support=Count, true_positives=Count, false_positives=Count,
    false_negatives=Count, true_negatives=Count,
)  # fmt: skip
ScoreIntervals = section("ScoreIntervals", **dict.fromkeys(METRICS, Interval))
Intervals = section(
    "Intervals", macro=ScoreIntervals, micro=ScoreIntervals, any_defect=ScoreIntervals,
    per_class=dict[str, ScoreIntervals], subset_accuracy=Interval,
    confidence=Annotated[float, Field(gt=0, lt=1)], resamples=Count, seed=int,
)  # fmt: skip
MaskScores = section(
    "MaskScores", dice=float, dice_with_defect=float, iou=float, pointing_accuracy=float
)
CountedMaskScores = section("CountedMaskScores", MaskScores, num_with_mask=Count)


class Localization(Section):
    num_images: Count | None = None
    macro: MaskScores
    per_class: dict[str, CountedMaskScores]


class Figures(Section):
    num_images: Count | None = None
    threshold: float | dict[str, float] | None = None
    macro: Scores
    micro: Scores | None = None
    per_class: dict[str, CountedScores]
    any_defect: CountedScores | None = None
    subset_accuracy: float | None = None
    undefined: dict[str, Count | list[str]] | None = None
    intervals: Intervals | None = None
    localization: Localization | None = None


class Bin(Section):
    low: float | None = None
    high: float | None = None
    num_images: Count
    mean_probability: float | None
    share_of_positives: float | None


class CalibrationErrors(Section):
    expected_calibration_error: float | None
    brier_score: float | None


class ClassCalibration(CalibrationErrors):
    reliability: list[Bin]


class CalibrationFigures(Section):
    macro: CalibrationErrors | None = None
    per_class: dict[str, ClassCalibration] = Field(default_factory=dict)


class ClassScaling(Section):
    slope: float
    intercept: float


Calibration = section(
    "Calibration", method=str, before=CalibrationFigures, scaling=dict[str, ClassScaling],
    after=CalibrationFigures,
)  # fmt: skip


class Fold(Section):
    name: str
    best_epoch: Count | None = None
    test: Scores | None = None


Spread = section("Spread", mean=float, standard_deviation=float)
LabelErrors = section(
    "LabelErrors", num_flipped=Count, num_found=Count, num_examined=Count, share_found=float
)

RunResults = section(
    "RunResults", schema_version=int, status=str, status_message=str, experiment=Head,
    config=dict[str, Any], environment=Environment, computation=Computation, data=Data,
    augmentation=list[dict[str, Any]], model=Model, loss=Loss, history=list[dict[str, Any]],
    best_epoch=Count, tested_epoch=Count, test=dict[str, Any], timings=Timings,
)  # fmt: skip
"""What any kind of training writes, section by section, so that each may be missing."""

Results = section(
    "Results", RunResults, mask_loss=MaskLoss, history=list[Epoch],
    thresholds=dict[str, float | None], threshold_criterion=str,
    train=Figures, validation=Figures, test=Figures, test_at_thresholds=Figures,
    calibration=Calibration, folds=list[Fold], spread=dict[str, Spread], label_errors=LabelErrors,
)  # fmt: skip
"""What a classification writes; the last three sections are those of a cross-validation."""


def first_problem(error: ValidationError) -> str:
    """The first key that is wrong, its value, and what was expected."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))[:120]
    return f"{key}={repr(first['input'])[:60]}: {first['msg']}"


def check_results(results: dict[str, Any], file: Path) -> None:
    """Check the type of every known field.

    Raises:
        InputError: names the first key that is not what a run writes, or a class named twice.
    """
    try:
        names = Results.model_validate(results).data.class_names
    except ValidationError as error:
        raise InputError(
            f"{file}: {first_problem(error)}; expected the results.json of a run: copy it again, "
            "or train again"
        ) from None
    if len(set(names)) < len(names):
        raise InputError(f"{file}: data.class_names names a class twice: {', '.join(names)[:80]}")
