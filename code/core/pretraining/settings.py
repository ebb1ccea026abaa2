"""The keys of a pretraining, and a composed config whose every value has been checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.command.catalogue import registry_of
from core.command.sections import checked_sections
from core.data.settings import DataSettings
from core.errors import InputError
from core.pretraining.views import ViewSettings
from core.training.settings import ExperimentSettings, RuntimeSettings, TrainingSettings
from core.validation import Settings, validate


class PretrainingData(DataSettings):
    """Where the strips are: a folder without labels, or the training part of a labelled set."""

    unlabelled: str | None = Field(
        None,
        description="folder or glob of images; labels are neither needed nor read. null: the "
        "training part of the data set in root",
    )
    root: Path | None = Field(
        None,
        description="folder of a labelled data set: its training part is learned from, or probed "
        "where unlabelled is given; null: data/severstal or data/synthetic, or no probe",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        64, description="images per step, of two views each"
    )
    watched_images: int = Field(
        256,
        ge=2,
        le=10_000,
        description="most images of the validation part, or held out of a folder (at most a "
        "tenth), whose embeddings are watched each epoch",
    )
    allow_all: bool = Field(
        False,
        description="learn from the test part of root as well, and from a folder that holds "
        "validation or test images: figures of a later training on them are then too good",
    )


class PretrainingSettings(TrainingSettings):
    """How the encoder is trained."""

    probe_every: int = Field(
        5, ge=1, description="epochs between two linear probes, where there are labels"
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="epochs without a better probe; null: never stop"
    )


SETTINGS: dict[str, type[Settings]] = {
    "data": PretrainingData,
    "views": ViewSettings,
    "training": PretrainingSettings,
    "experiment": ExperimentSettings,
    "runtime": RuntimeSettings,
}

WITHOUT_EFFECT = {
    "data": {
        "sampler", "missing_masks", "unused_masks", "mask_fraction", "label_noise",
        "label_noise_kind", "corrections",
    },
    "training": {"head_epochs", "evaluate_train_part", "folds"},
    "runtime": {"augment_on_device"},
}  # fmt: skip
"""Keys of a classification alone, by their section."""


def default_values(section: str) -> dict[str, Any]:
    """The keys of a section with their defaults, as Hydra composes them."""
    own = {"name": "pretraining"} if section == "experiment" else {}
    return SETTINGS[section](**own).model_dump(mode="json", exclude=WITHOUT_EFFECT.get(section))


@dataclass(frozen=True)
class PretrainConfig:
    """A composed config whose every value has been checked."""

    model: dict[str, Any]
    method: dict[str, Any]
    data: PretrainingData
    views: ViewSettings
    training: PretrainingSettings
    experiment: ExperimentSettings
    runtime: RuntimeSettings

    def resolved(self) -> dict[str, Any]:
        """The config in plain types, as results.json and config.yaml keep it."""
        sections = {
            name: getattr(self, name).model_dump(mode="json", exclude=WITHOUT_EFFECT.get(name))
            for name in SETTINGS
        }
        return {"model": self.model, "method": self.method, **sections}


def check_values(content: Mapping[str, Any]) -> PretrainConfig:
    """Validate a config in plain values.

    Raises InputError that names the key, the value, and what was expected.
    """
    known = list(PretrainConfig.__dataclass_fields__)
    checked = checked_sections(content, known, SETTINGS, WITHOUT_EFFECT, "in a pretraining")
    from core.training.optimization import check_optimizer  # takes seconds, unlike all above

    check_optimizer(checked["training"].optimizer)
    for group in ("model", "method"):
        given = {key: value for key, value in content[group].items() if key != "name"}
        if group == "model" and given.get("num_classes", 0) is None:
            given["num_classes"] = 1
        name = str(content[group].get("name"))
        validate(registry_of(group).parameters(name), given, f"{group} {name}")
    config = PretrainConfig(dict(content["model"]), dict(content["method"]), **checked)
    check_method(config)
    return config


def check_patience(training: PretrainingSettings, data: PretrainingData) -> None:
    """Raise InputError for a patience that no probe can satisfy."""
    patience, every = training.early_stopping_patience, training.probe_every
    if patience is None:
        return
    where = f"training.early_stopping_patience={patience}"
    if data.unlabelled is not None and data.root is None:
        raise InputError(f"{where}: has no effect without a probe: give data.root=DIR, or null")
    if patience < every:
        raise InputError(
            f"{where}: a probe is taken only every {every} epochs (training.probe_every): expected "
            f"at least {every}"
        )


def check_method(config: PretrainConfig) -> None:
    """Raise InputError where the method cannot learn from such batches or such data."""
    name, params = config.method["name"], dict(config.method)
    del params["name"]
    method = registry_of("method").instantiate(name, **params)
    method.check_batch_size(config.data.batch_size)
    if method.needs_labels and config.data.unlabelled is not None:
        raise InputError(
            f"data.unlabelled={config.data.unlabelled}: method.name={name} learns from labels, "
            "which these strips have none of: give data.root=DIR of a labelled data set instead, "
            "or another method"
        )
