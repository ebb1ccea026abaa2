"""Settings of the evaluation after a training."""

from typing import Annotated, Literal

from pydantic import Field

from core.validation import Settings

Cost = Annotated[float, Field(gt=0)]
Criterion = Literal["f1", "recall_at_precision", "precision_at_recall", "cost"]


class EvaluationSettings(Settings):
    """How thresholds are chosen, probabilities calibrated and intervals computed."""

    threshold_criterion: Criterion = Field(
        "f1", description="what the thresholds per class maximise on the validation part"
    )
    threshold_shrinkage: float = Field(
        5.0,
        ge=0,
        description="f1: how many positives the prior of 0.5 counts as; 0: the highest F1",
    )
    min_precision: float = Field(
        0.9, gt=0, le=1, description="recall_at_precision: lowest precision"
    )
    min_recall: float = Field(0.95, gt=0, le=1, description="precision_at_recall: lowest recall")
    cost_miss: Cost | dict[str, Cost] = Field(
        5.0, description="cost: of a missed defect, or {class: cost}"
    )
    cost_false_alarm: Cost | dict[str, Cost] = Field(
        1.0, description="cost: of a false alarm, or {class: cost}"
    )
    calibration: Literal["auto", "none", "temperature", "platt"] = Field(
        "auto",
        description="auto: undo how the loss moves probabilities; temperature, platt: a scaling "
        "fitted on the validation part, reported before and after",
    )
    bootstrap_resamples: int = Field(
        2000, ge=100, le=100_000, description="bootstrap resamples for the intervals"
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="share of intervals to cover the truth")
