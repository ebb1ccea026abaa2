"""results.json: every section and field of it, for the side that writes and the side that reads.

What is not here cannot be written, and what no run writes fails a test.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from core.errors import InputError
from core.experiments.figures import (
    Calibration,
    Count,
    Epoch,
    Figure,
    PartFigures,
    Scores,
    Section,
    Text,
)

SCHEMA_VERSION = 1

ClassName = Annotated[str, Field(min_length=1)]
ClassCounts = dict[str, Count]


class Resumption(Section):
    time: Text = None
    command: Text = None
    changed: dict[str, Any] | None = None
    epoch: Count | None = None
    step: Count | None = None
    checkpoint: Text = None
    problems: list[str] | None = None


class Head(Section):
    name: Text = None
    created_at: Text = None
    command: Text = None
    seed: int | None = None
    settled: dict[str, str] | None = None
    resumed_at: list[Resumption] | None = None


class Commit(Section):
    commit: Text = None
    changed: bool | None = None


class Hardware(Section):
    processor: Text = None
    cores: Count | None = None
    torch_threads: Count | None = None
    device: Text = None
    accelerator: Text = None


class Environment(Section):
    python: Text = None
    platform: Text = None
    packages: dict[str, Text] | None = None
    git: Commit | None = None
    hardware: Hardware | None = None


class Computation(Section):
    precision: Text = None
    channels_last: bool | None = None
    compiled: bool | None = None
    devices: Count | None = None


class SkippedImage(Section):
    image_id: str
    reason: str


class SplitPart(Section):
    num_images: Count
    clean: Count | None = None
    class_counts: ClassCounts = Field(default_factory=dict)


class Split(Section):
    strategy: Text = None
    seed: int | None = None
    parts: dict[str, SplitPart] | None = None


class Sampler(Section):
    name: Text = None
    expected_class_shares: dict[str, Figure] | None = None
    expected_clean_share: Figure = None


class Data(Section):
    root: Text = None
    source: Text = None
    fingerprint: Text = None
    class_names: Annotated[list[ClassName], Field(min_length=1)]
    image_size: list[Count] | None = None
    num_images: Count | None = None
    class_counts: ClassCounts | None = None
    skipped_images: list[SkippedImage] | None = None
    num_duplicate_pairs: Count | None = None
    split: Split | None = None
    sampler: Sampler | None = None


class InitialWeights(Section):
    source: Text = None
    licence: Text = None


class Model(Section):
    name: Text = None
    num_parameters: Count | None = None
    num_trainable_parameters: Count | None = None
    initial_weights: InitialWeights | None = None


class Loss(Section):
    type: Text = None
    params: dict[str, Any] | None = None


class MaskLoss(Loss):
    weight: Figure = None


class Timings(Section):
    training_seconds: Figure = None
    evaluation_seconds: Figure = None


class Fold(Section):
    name: str
    best_epoch: Count | None = None
    test: Scores[float] | None = None


class Spread(Section):
    mean: Figure = None
    standard_deviation: Figure = None


class LabelErrors(Section):
    num_flipped: Count | None = None
    num_found: Count | None = None
    num_examined: Count | None = None
    share_found: Figure = None


class RunResults(Section):
    """What any kind of training writes, section by section, so that each may be missing."""

    schema_version: int | None = None
    status: Text = None
    status_message: Text = None
    experiment: Head | None = None
    config: dict[str, Any] | None = None
    environment: Environment | None = None
    computation: Computation | None = None
    data: Data | None = None
    augmentation: list[dict[str, Any]] | None = None
    model: Model | None = None
    loss: Loss | None = None
    history: list[dict[str, Any]] | None = None
    best_epoch: Count | None = None
    tested_epoch: Count | None = None
    test: dict[str, Any] | None = None
    timings: Timings | None = None


class Results(RunResults):
    """What a classification writes; the last three sections are those of a cross-validation."""

    mask_loss: MaskLoss | None = None
    history: list[Epoch] | None = None
    thresholds: dict[str, Figure] | None = None
    threshold_criterion: Text = None
    train: PartFigures | None = None
    validation: PartFigures | None = None
    test: PartFigures | None = None
    test_at_thresholds: PartFigures | None = None
    calibration: Calibration | None = None
    folds: list[Fold] | None = None
    spread: dict[str, Spread] | None = None
    label_errors: LabelErrors | None = None


def first_problem(error: ValidationError) -> str:
    """The first key that is wrong, its value, and what was expected."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))[:120]
    return f"{key}={repr(first['input'])[:60]}: {first['msg']}"


def check_results(results: dict[str, Any], file: Path) -> None:
    """Check the type of every known field; unknown ones are left alone.

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
