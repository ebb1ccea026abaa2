"""What results.json holds before the first step of a training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from torch import nn

from core.analysis.text_tables import aligned, class_title
from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.data.corrections import describe_corrections
from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import write_duplicates
from core.data.image_source import ImageSource
from core.data.images import ImageFormat
from core.data.label_table import LabelTable
from core.data.sampling import describe_sampler
from core.data.split_file import Split, write_split
from core.data.splitting import straddling_groups
from core.data.weak_supervision import write_flips
from core.experiments.environment import command_line, describe_environment
from core.experiments.folder import ExperimentFolder
from core.experiments.strips import SPLIT_FILE
from core.files.writing import write_text
from core.machine.distributed import size
from core.models.weights import describe_file
from core.models.weights_at_hand import at_hand
from core.running.computation import Computation, recorded
from core.running.pretrained_images import record_of_seen
from core.training.learner import Learner
from core.training.task import Task


@dataclass(frozen=True)
class LoadedData:
    """A label table, its near-duplicate pairs, and its images, with how they were read."""

    table: LabelTable
    duplicate_pairs: list[tuple[int, int]]
    images: ImageSource
    image_format: ImageFormat

    @property
    def groups(self) -> np.ndarray | None:
        """Group of each image, for a split that keeps groups together; None: no duplicates."""
        if not self.duplicate_pairs:
            return None
        return duplicate_groups(len(self.table), self.duplicate_pairs)

    @property
    def group_by_id(self) -> dict[str, int] | None:
        """Group of each image by its id; None: no duplicates."""
        if self.groups is None:
            return None
        return dict(zip(self.table.image_ids, self.groups.tolist(), strict=True))


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training needs, built from a config; `choice` says how that was chosen."""

    data: LoadedData
    split: Split
    pipeline: AugmentationPipeline
    task: Task
    learner: Learner
    computation: Computation
    choice: Mapping[str, Any] = field(default_factory=dict)


def describe(folder: ExperimentFolder, config: TrainConfig, setup: TrainingSetup) -> None:
    """Write everything that is known about the experiment before its first step."""
    table, pairs = setup.data.table, setup.data.duplicate_pairs
    # The config first: with it, a training that is killed can be resumed.
    describe_input(folder, config, setup.data, setup.split)
    write_split(folder.path / SPLIT_FILE, table, setup.split)
    write_duplicates(folder.path / "duplicates.csv", table, pairs, setup.split)
    parameters = list(setup.learner.model.parameters())
    folder.record(
        environment=describe_environment(setup.learner.device),
        computation={
            **recorded(setup.computation),
            "devices": size(),
            "choice": setup.choice,
        },
        augmentation=setup.pipeline.record(),
        model={
            "name": config.model["name"],
            "num_parameters": sum(p.numel() for p in parameters),
            "num_trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "initial_weights": {
                **describe_initial_weights(setup.learner.model, config.model),
                **record_of_seen(config, table, setup.split),
            },
        },
        **setup.task.record(),
    )


def describe_input(
    folder: ExperimentFolder, config: TrainConfig, data: LoadedData, split: Split
) -> None:
    """Write the config, the data and its split, and the labels that were flipped on purpose."""
    resolved = config.resolved()
    write_text(folder.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    if config.data.label_noise:
        write_flips(folder.path / "flipped_labels.csv", data.table)
    folder.record(
        experiment={"command": command_line(), **folder.results["experiment"]}
        | {"seed": config.experiment.seed},
        config=resolved,
        data=_describe_data(config, data, split),
    )


def overview(results: Mapping[str, Any]) -> str:
    """What is about to be trained, on how many images of each class, for the terminal."""
    model, computation, data = results["model"], results["computation"], results["data"]
    rows = [["", "images", "clean", *map(class_title, data["class_names"])]]
    for name, part in data["split"]["parts"].items():
        counts = [part["num_images"], part["clean"], *part["class_counts"].values()]
        rows.append([name, *map(str, counts)])
    head = (
        f"{model['name']}, {model['num_parameters']:,} parameters, "
        f"{results['loss']['type']}, {computation['precision']} on "
        f"{results['environment']['hardware']['device']}"
    )
    return "\n".join([head, *aligned(rows)])


def describe_initial_weights(model: nn.Module, values: Mapping[str, Any]) -> dict[str, str | None]:
    """The source of the initial weights; None: they are random."""
    if values.get("weights"):
        return {"licence": None, **describe_file(values["weights"])}
    published = getattr(getattr(model, "backbone", None), "pretrained_cfg", {})
    if not values.get("pretrained") or not published:
        return {"source": None, "licence": None}
    if packaged := at_hand(getattr(model, "backbone_name", "")):
        source = f"{packaged.source}, from the package {packaged.requirement}"
        return {"source": source, "licence": packaged.licence}
    name = ".".join(filter(None, (published.get("architecture"), published.get("tag"))))
    return {"source": f"timm {name}", "licence": published.get("license")}


def describe_table(table: LabelTable, indices: np.ndarray) -> dict[str, Any]:
    """A data set, and how many of its images at `indices` show each class."""
    return {
        "root": str(table.root),
        "source": table.source,
        "fingerprint": table.fingerprint(),
        "class_names": table.class_names,
        **_counts(table, indices),
        **describe_corrections(table),
    }


def _counts(table: LabelTable, indices: np.ndarray) -> dict[str, Any]:
    counts = table.labels[indices].sum(axis=0).tolist()
    by_class = dict(zip(table.class_names, counts, strict=True))
    return {"num_images": len(indices), "class_counts": by_class}


def _missing_masks(table: LabelTable) -> list[dict[str, Any]]:
    """The images with a label without a mask, and these classes."""
    missing = {} if table.masks is None else table.masks.missing
    return [
        {
            "image_id": table.image_ids[index],
            "class_names": [table.class_names[column] for column in columns],
        }
        for index, columns in sorted(missing.items())
    ]


def _num_groups(config: TrainConfig, data: LoadedData, indices: np.ndarray) -> int | None:
    """Groups of near-duplicates, single images among them; None where none were looked for."""
    if not config.data.group_duplicates:
        return None
    return len(indices if data.groups is None else np.unique(data.groups[indices]))


def _num_straddling(config: TrainConfig, data: LoadedData, split: Split) -> int | None:
    """Groups of near-duplicates in more than one part; None where none were looked for."""
    if not config.data.group_duplicates:
        return None
    return 0 if data.groups is None else len(straddling_groups(split, data.groups))


def _describe_data(config: TrainConfig, data: LoadedData, split: Split) -> dict[str, Any]:
    table, folds = data.table, config.training.folds
    record: dict[str, Any] = {
        **describe_table(table, np.arange(len(table))),
        "image_size": data.image_format.size,
        "resize_mode": config.data.resize_mode if config.data.resize else None,
        "bit_depth": data.image_format.bit_depth,
        "skipped_images": [
            {"image_id": image_id, "reason": reason} for image_id, reason in table.skipped.items()
        ],
        "missing_masks": _missing_masks(table),
        "num_duplicate_pairs": len(data.duplicate_pairs),
        "split": {
            "strategy": f"stratified_{folds}_folds" if folds else config.data.split_strategy,
            "seed": config.experiment.seed,
            "num_straddling_groups": _num_straddling(config, data, split),
            "parts": {
                part: {
                    **_counts(table, indices),
                    "clean": int((table.labels[indices].sum(axis=1) == 0).sum()),
                    "num_groups": _num_groups(config, data, indices),
                }
                for part, indices in split.items()
            },
        },
    }
    if "train" in split:
        labels = table.labels[split["train"]]
        record["sampler"] = describe_sampler(labels, config.data.sampler, table.class_names)
    return record
