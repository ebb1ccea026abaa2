"""The keys of fitting a detector, and a composed config whose every value has been checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from core.command.catalogue import registry_of
from core.command.sections import checked_sections
from core.data.label_agreement import MissingMasks
from core.data.settings import DataSettings
from core.errors import InputError
from core.pretraining.views import ViewSettings
from core.training.settings import ExperimentSettings, RuntimeSettings, TrainingSettings
from core.validation import Settings, validate

Share = Annotated[float, Field(ge=0.05, le=0.45)]


class NoveltyData(DataSettings):
    """Where the strips are: a folder without labels, or a labelled data set."""

    unlabelled: str | None = Field(
        None,
        description="folder or glob of images to learn from, most of them clean; null: the clean "
        "strips in the training part of root",
    )
    root: Path | None = Field(
        None,
        description="folder of a labelled data set: its clean strips are learned from, or only its "
        "test part is scored where unlabelled is given; null: data/severstal or data/synthetic, "
        "or none",
    )
    missing_masks: MissingMasks = Field("ignore", description="masks are not needed")
    batch_size: Annotated[int, Field(ge=1)] = Field(
        8, description="images per step of a training, or read at once"
    )
    threshold_share: Share = Field(
        0.2, description="share of unlabelled strips that set the threshold"
    )
    held_out_share: Share = Field(
        0.2, description="share of unlabelled strips on which false alarms are counted"
    )
    allow_all: bool = Field(
        False, description="accept unlabelled strips that lie in a labelled data set"
    )


class ScoringSettings(Settings):
    """From a map of distances to the score and the decision of a strip."""

    smoothing: float = Field(
        8.0, ge=0, le=256, description="standard deviation of the smoothing, in pixels; 0: none"
    )
    largest: int = Field(
        5, ge=1, le=100_000, description="number of largest distances that the score averages"
    )
    false_alarms_per_1000: float = Field(
        5.0, gt=0, lt=1000, description="clean strips of 1,000 that may raise the alarm"
    )


class NoveltyTraining(TrainingSettings):
    """How a detector is trained that learns by gradient."""

    learning_rate: float = Field(1e-3, gt=0, description="peak, after the warm-up")
    early_stopping_patience: int | None = Field(
        10, ge=1, description="epochs without a better one on held-out strips; null: never stop"
    )
    tested_epoch: Literal["best", "last"] = Field(
        "best", description="best on clean strips held out of those to learn from"
    )


SETTINGS: dict[str, type[Settings]] = {
    "data": NoveltyData,
    "scoring": ScoringSettings,
    "views": ViewSettings,
    "training": NoveltyTraining,
    "experiment": ExperimentSettings,
    "runtime": RuntimeSettings,
}

WITHOUT_EFFECT = {
    "data": {
        "sampler", "missing_masks", "unused_masks", "mask_fraction", "label_noise",
        "label_noise_kind", "corrections",
    },
    "training": {"head_epochs", "evaluate_train_part", "folds", "gradient_checkpointing"},
    "runtime": {"depthwise_gradient", "augment_on_device"},
}  # fmt: skip
"""Keys of a classification alone, by their section."""

OF_TRAINING = {
    "data": {"num_workers"},
    "views": set(ViewSettings.model_fields),
    "training": set(TrainingSettings.model_fields),
    "runtime": {"devices", "precision", "channels_last", "compile"},
}
"""Keys that only a detector learned by gradient has a use for, by their section."""


def default_values(section: str) -> dict[str, Any]:
    """The keys of a section with their defaults, as Hydra composes them."""
    own = {"name": "novelty"} if section == "experiment" else {}
    return SETTINGS[section](**own).model_dump(mode="json", exclude=WITHOUT_EFFECT.get(section))


@dataclass(frozen=True)
class NoveltyConfig:
    """A composed config whose every value has been checked."""

    detector: dict[str, Any]
    data: NoveltyData
    scoring: ScoringSettings
    views: ViewSettings
    training: NoveltyTraining
    experiment: ExperimentSettings
    runtime: RuntimeSettings

    @property
    def params(self) -> dict[str, Any]:
        """The arguments of the detector."""
        return {key: value for key, value in self.detector.items() if key != "name"}

    def resolved(self) -> dict[str, Any]:
        """The config in plain types, as results.json and config.yaml keep it."""
        sections = {
            name: getattr(self, name).model_dump(mode="json", exclude=WITHOUT_EFFECT.get(name))
            for name in SETTINGS
        }
        return {"detector": self.detector, **sections}


def check_values(content: Mapping[str, Any]) -> NoveltyConfig:
    """Validate a config in plain values.

    Raises InputError that names the key, the value, and what was expected.
    """
    known = list(NoveltyConfig.__dataclass_fields__)
    checked = checked_sections(content, known, SETTINGS, WITHOUT_EFFECT, "on a detector")
    from core.training.optimization import check_optimizer  # takes seconds, unlike all above

    check_optimizer(checked["training"].optimizer)
    detector = dict(content["detector"])
    name = str(detector.get("name"))
    params = {key: value for key, value in detector.items() if key != "name"}
    validate(registry_of("detector").parameters(name), params, f"detector {name}")
    return NoveltyConfig(detector, **checked)


def check_training_keys(config: NoveltyConfig) -> None:
    """Raise InputError for keys of a training whose detector is not trained."""
    name = config.detector["name"]
    if registry_of("detector").get(name).learned_by_gradient:
        return
    for section, keys in OF_TRAINING.items():
        given, default = config.resolved()[section], default_values(section)
        for key in sorted(keys & given.keys()):
            if given[key] != default[key]:
                raise InputError(
                    f"{section}.{key}={given[key]}: has no effect, as detector.name={name} is not "
                    "learned by gradient: leave it out"
                )
