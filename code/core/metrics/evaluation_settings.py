"""Settings of the evaluation at the end of a training."""

from typing import Annotated, Literal

from pydantic import Field

from core.validation import Settings

Cost = Annotated[float, Field(gt=0)]


class EvaluationSettings(Settings):
    """How thresholds are chosen, probabilities calibrated and intervals found."""

    threshold_criterion: Annotated[
        Literal["f1", "recall_at_precision", "precision_at_recall", "cost"],
        Field(description="what the thresholds per class do best on the validation part"),
    ] = "f1"
    threshold_shrinkage: Annotated[
        float,
        Field(ge=0, description="f1: positives that the prior of 0.5 weighs as much as; 0: none"),
    ] = 10.0
    min_precision: Annotated[
        float, Field(gt=0, le=1, description="recall_at_precision: the precision to be kept")
    ] = 0.9
    min_recall: Annotated[
        float, Field(gt=0, le=1, description="precision_at_recall: the recall to be kept")
    ] = 0.95
    cost_miss: Annotated[
        Cost | dict[str, Cost], Field(description="cost: of a missed defect, or {class: cost}")
    ] = 5.0
    cost_false_alarm: Annotated[
        Cost | dict[str, Cost], Field(description="cost: of a false alarm, or {class: cost}")
    ] = 1.0
    calibration: Annotated[
        Literal["none", "temperature", "platt"],
        Field(description="scaling fitted on the validation part, reported before and after"),
    ] = "none"
    bootstrap_resamples: Annotated[
        int, Field(ge=100, le=100_000, description="resamples behind the intervals")
    ] = 2000
    confidence: Annotated[
        float, Field(gt=0, lt=1, description="share of intervals that cover the truth")
    ] = 0.95
