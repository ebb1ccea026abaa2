"""results.json: every section and field of it, for the side that writes and the side that reads.

What is not here cannot be written, and what no run writes fails a test.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, create_model

from core.errors import InputError
from core.files.names import check_class_names, file_name
from core.metrics.scored_predictions import METRICS

SCHEMA_VERSION = 1

Slope = Annotated[FiniteFloat, Field(gt=0)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Counts = dict[str, Count]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
ClassName = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """Unknown fields are kept when a file is read, and refused when a run writes them."""

    model_config = ConfigDict(extra="allow", strict=True)


def section(
    name: str,
    needed: dict[str, Any] | None = None,
    /,
    *,
    extends: type[Section] = Section,
    **fields: Any,
) -> type[Section]:
    """A section; what is not `needed` may be missing: not every run or every version writes it."""
    optional = {key: (kind | None, None) for key, kind in fields.items()}
    return create_model(name, __base__=extends, **(needed or {}), **optional)


Head = section(
    "Head", name=str, created_at=str, command=str, seed=int, settled=dict[str, str],
    resumed_at=list[section(
        "Resumption", time=str, command=str, changed=dict[str, Any], epoch=Count, step=Count,
        checkpoint=str, problems=list[str],
    )],
)  # fmt: skip
Environment = section(
    "Environment", python=str, platform=str, packages=dict[str, str | None],
    git=section("Commit", commit=str, changed=bool),
    hardware=section(
        "Hardware", processor=str, cores=Count, torch_threads=Count, device=str, accelerator=str
    ),
)  # fmt: skip
Computation = section(
    "Computation", precision=str, channels_last=bool, compiled=bool, depthwise_gradient=str,
    num_workers=Count, devices=Count, choice=dict[str, Any],
)  # fmt: skip
Model = section(
    "Model", name=str, num_parameters=Count, num_trainable_parameters=Count,
    initial_weights=section(
        "InitialWeights", source=str, licence=str, pretrained_by=str, held_out_images_seen=Count,
    ),
)  # fmt: skip
Loss = section("Loss", type=str, params=dict[str, Any])
MaskLoss = section("MaskLoss", extends=Loss, weight=float)
Timings = section("Timings", training_seconds=float, evaluation_seconds=float)

SplitPart = section(
    "SplitPart", {"num_images": Count, "class_counts": Counts}, clean=Count, num_groups=Count
)
Data = section(
    "Data", {"class_names": Annotated[list[ClassName], Field(min_length=1)]},
    root=str, source=str, fingerprint=str, image_size=list[Count], resize_mode=str,
    bit_depth=Count, num_images=Count, class_counts=Counts, num_duplicate_pairs=Count,
    skipped_images=list[section("SkippedImage", image_id=str, reason=str)],
    missing_masks=list[section("MissingMask", image_id=str, class_names=list[str])],
    corrections=section("Corrections", file=str, sha256=str, given_fingerprint=str,
        num_decided=Count, num_without_mask=Count, added=Counts, removed=Counts),
    split=section("Split", strategy=str, seed=int, num_straddling_groups=Count,
        parts=dict[str, SplitPart]),
    sampler=section("Sampler", name=str, expected_class_shares=dict[str, float],
        expected_clean_share=float),
)  # fmt: skip

Epoch = section(
    "Epoch", {"epoch": Count}, learning_rate=float, phase=str,
    train=section(
        "TrainFigures", loss=float, duration_seconds=float, images_per_second=float,
        data_wait_share=float,
    ),
    validation=section(
        "ValidationFigures", loss=float, macro_f1=float, macro_average_precision=float,
        macro_auroc=float, per_class_f1=dict[str, float | None], macro_dice=float,
        macro_pointing_accuracy=float,
    ),
    loss_terms=dict[str, section("LossTerm", raw=float, weighted=float, weight=float)],
    loss_weights=dict[str, float | None],
)  # fmt: skip

Scores = section("Scores", **dict.fromkeys(METRICS, float))
ClassScores = section(
    "ClassScores", extends=Scores, support=Count, true_positives=Count, false_positives=Count,
    false_negatives=Count, true_negatives=Count,
)  # fmt: skip
Bounds = section("Bounds", **dict.fromkeys(METRICS, Interval))
Intervals = section(
    "Intervals", macro=Bounds, micro=Bounds, any_defect=Bounds, per_class=dict[str, Bounds],
    subset_accuracy=Interval, confidence=Annotated[float, Field(gt=0, lt=1)], resamples=Count,
    seed=int, unit=str, num_units=Count,
)  # fmt: skip
MaskScores = section(
    "MaskScores", dice=float, dice_with_defect=float, iou=float, pointing_accuracy=float
)
ClassMaskScores = section("ClassMaskScores", extends=MaskScores, num_with_mask=Count)
Localization = section(
    "Localization", {"macro": MaskScores, "per_class": dict[str, ClassMaskScores]},
    num_images=Count,
)  # fmt: skip
Figures = section(
    "Figures", {"macro": Scores, "per_class": dict[str, ClassScores]},
    num_images=Count, threshold=float | dict[str, float], micro=Scores, any_defect=ClassScores,
    subset_accuracy=float, undefined=dict[str, Count | list[str]], intervals=Intervals,
    localization=Localization,
)  # fmt: skip

Bin = section(
    "Bin",
    {"num_images": Count, "mean_probability": float | None, "share_of_positives": float | None},
    low=float, high=float,
)  # fmt: skip
CalibrationErrors = section(
    "CalibrationErrors", {"expected_calibration_error": float | None, "brier_score": float | None}
)
ClassCalibration = section(
    "ClassCalibration", {"reliability": list[Bin]}, extends=CalibrationErrors
)
CalibrationFigures = section(
    "CalibrationFigures", {"per_class": dict[str, ClassCalibration]}, macro=CalibrationErrors
)
ClassScaling = section("ClassScaling", {"slope": Slope, "intercept": FiniteFloat})
Calibration = section(
    "Calibration", method=str, before=CalibrationFigures, scaling=dict[str, ClassScaling],
    after=CalibrationFigures,
)  # fmt: skip

ThresholdBasis = section("ThresholdBasis", positives=Count, best=float, kept=str, unmet=str)
Fold = section("Fold", {"name": str}, best_epoch=Count, test=Scores)
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
    "Results", extends=RunResults, mask_loss=MaskLoss, history=list[Epoch],
    thresholds=dict[str, float | None], threshold_criterion=str,
    threshold_basis=dict[str, ThresholdBasis],
    train=Figures, validation=Figures, test=Figures, test_at_thresholds=Figures,
    calibration=Calibration, folds=list[Fold], spread=dict[str, Spread], label_errors=LabelErrors,
)  # fmt: skip
"""What a classification writes; the last three sections are those of a cross-validation."""

EmbeddingFigures = section(
    "EmbeddingFigures", loss=float, effective_rank=float, standard_deviation=float,
    retrieval=float, collapsed=bool, probe_average_precision=float, pixel_average_precision=float,
    strip_average_precision=float, painted_share=float, painted_strip_share=float,
)  # fmt: skip
PretrainingResults = section(
    "PretrainingResults", extends=RunResults, kind=str, method=Loss, views=dict[str, Any],
    data=section(
        "PretrainingData", source=str, fingerprint=str, image_size=list[Count], bit_depth=Count,
        num_images=Count, num_watched=Count, part=str, probe=str,
    ),
    history=list[section("PretrainingEpoch", extends=Epoch, validation=EmbeddingFigures)],
    test=EmbeddingFigures, collapsed=bool,
)  # fmt: skip
"""What a pretraining writes; `kind` is `pretraining`."""

PRETRAINING = "pretraining"

FalseAlarms = section(
    "FalseAlarms", num_strips=Count, num_groups=Count, num_alarms=Count, per_1000=float,
    interval_per_1000=Interval,
)  # fmt: skip
AgainstClean = section(
    "AgainstClean", num_strips=Count, auroc=float, auroc_interval=Interval, recall=float,
    recall_interval=Interval,
)  # fmt: skip
NoveltyFigures = section(
    "NoveltyFigures", num_strips=Count, false_alarms=FalseAlarms, any_defect=AgainstClean,
    per_class=dict[str, AgainstClean],
)  # fmt: skip
NoveltyThreshold = section(
    "NoveltyThreshold", {"threshold": float}, chosen_per_1000=float, expected_per_1000=float,
    interval_per_1000=Interval, num_strips=Count, num_groups=Count, is_enough=bool,
)  # fmt: skip
NoveltyResults = section(
    "NoveltyResults", extends=RunResults, kind=str,
    data=section(
        "NoveltyData", source=str, tested_on=str, fingerprint=str, image_size=list[Count],
        bit_depth=Count, class_names=list[ClassName], num_fit=Count, num_threshold=Count,
        num_test=Count, num_fit_groups=Count, num_threshold_groups=Count, num_test_groups=Count,
    ),
    detector=section(
        "Detector", {"type": str, "params": dict[str, Any]}, rebuilt_by=dict[str, Any]
    ),
    fit=dict[str, Any], threshold=NoveltyThreshold, test=NoveltyFigures,
    seen=section("Seen", threshold=float, false_alarms=FalseAlarms, is_enough=bool),
    baseline=section("Baseline", threshold=NoveltyThreshold, test=NoveltyFigures),
)  # fmt: skip
"""What fitting a detector of novelty writes; `kind` is `novelty`."""

NOVELTY = "novelty"


def first_problem(error: ValidationError) -> str:
    """The first key that is wrong, its value, and what was expected."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))[:120]
    return f"{key}={repr(first['input'])[:60]}: {first['msg']}"


def check_results(results: dict[str, Any], file: Path) -> None:
    """Raise InputError for the first value that no run writes, or a class named twice."""
    others = {PRETRAINING: PretrainingResults, NOVELTY: NoveltyResults}
    schema = others.get(results.get("kind"), Results)
    try:
        checked = schema.model_validate(results)
    except ValidationError as error:
        raise InputError(
            f"{file}: {first_problem(error)}; expected the results.json of a run: copy it again, "
            "or train again"
        ) from None
    if schema is not Results or checked.data is None:  # a run that has just begun
        return
    check_class_names(checked.data.class_names, f"{file}: data.class_names")
    for fold in checked.folds or ():
        if file_name(fold.name) != fold.name:
            name = fold.name[:80]
            raise InputError(f"{file}: fold {name!r}; expected the name of a folder in it")
