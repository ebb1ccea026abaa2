"""What results.json holds before the first step of a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from torch import nn

from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.data.duplicates import duplicate_groups, write_duplicates
from core.data.image_source import ImageSource
from core.data.images import ImageFormat
from core.data.label_table import LabelTable
from core.data.sampling import describe_sampler
from core.data.split_file import Split, write_split
from core.data.weak_supervision import write_flips
from core.experiments.environment import command_line, describe_environment
from core.experiments.folder import ExperimentFolder
from core.files.writing import write_text
from core.machine.distributed import size
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


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training needs, built from a config."""

    data: LoadedData
    split: Split
    pipeline: AugmentationPipeline
    task: Task
    learner: Learner


def describe(folder: ExperimentFolder, config: TrainConfig, setup: TrainingSetup) -> None:
    """Write everything that is known about the experiment before its first step."""
    resolved = config.resolved()
    write_text(folder.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    write_split(folder.path / "split.csv", setup.data.table, setup.split)
    write_duplicates(
        folder.path / "duplicates.csv",
        setup.data.table,
        setup.data.duplicate_pairs,
        setup.split,
    )
    write_flips_of(folder, config, setup.data)
    parameters = list(setup.learner.model.parameters())
    folder.record(
        experiment={"command": command_line(), **folder.results["experiment"]}
        | {"seed": config.experiment.seed},
        config=resolved,
        environment=describe_environment(setup.learner.device),
        computation={
            "precision": setup.learner.precision.name,
            "channels_last": config.runtime.uses_channels_last(setup.learner.device),
            "compiled": config.runtime.compile,
            "devices": size(),
        },
        data=describe_data(config, setup.data, setup.split),
        augmentation=setup.pipeline.record(),
        model={
            "name": config.model["name"],
            "num_parameters": sum(p.numel() for p in parameters),
            "num_trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "initial_weights": describe_initial_weights(setup.learner.model, config.model),
        },
        **setup.task.record(),
    )


def overview(results: Mapping[str, Any]) -> str:
    """What is about to be trained, on how many images of each class, for the terminal."""
    model, computation, data = results["model"], results["computation"], results["data"]
    parts = data["split"]["parts"]
    columns = ["images", "clean", *data["class_names"]]
    widths = [max(len(column), 6) for column in columns]
    lines = [
        f"{model['name']}, {model['num_parameters'] / 1e6:.1f} million parameters, "
        f"{results['loss']['type']}, {computation['precision']} on "
        f"{results['environment']['hardware']['device']}",
        f"{'':<10}" + "  ".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)),
    ]
    for name, part in parts.items():
        counts = [part["num_images"], part["clean"], *part["class_counts"].values()]
        row = "  ".join(f"{count:>{w}}" for count, w in zip(counts, widths, strict=True))
        lines.append(f"{name:<10}{row}")
    return "\n".join(lines)


def write_flips_of(folder: ExperimentFolder, config: TrainConfig, data: LoadedData) -> None:
    """Write flipped_labels.csv if labels were flipped on purpose."""
    if share := config.data.label_noise:
        write_flips(
            folder.path / "flipped_labels.csv", data.table, share, config.data.generation_seed
        )


def describe_initial_weights(model: nn.Module, values: Mapping[str, Any]) -> dict[str, str | None]:
    """The source of the initial weights; None: they are random."""
    if values.get("weights"):
        return {"source": Path(values["weights"]).name, "licence": None}
    published = getattr(getattr(model, "backbone", None), "pretrained_cfg", {})
    if not values.get("pretrained") or not published:
        return {"source": None, "licence": None}
    name = ".".join(filter(None, (published.get("architecture"), published.get("tag"))))
    return {"source": f"timm {name}", "licence": published.get("license")}


def describe_data(config: TrainConfig, data: LoadedData, split: Split) -> dict[str, Any]:
    """Describe the data and its split."""
    table = data.table
    names, folds = table.class_names, config.training.folds

    def counts(labels: np.ndarray) -> dict[str, int]:
        return dict(zip(names, labels.sum(axis=0).tolist(), strict=True))

    record: dict[str, Any] = {
        "root": str(table.root),
        "source": table.source,
        "fingerprint": table.fingerprint(),
        "class_names": names,
        "image_size": data.image_format.size,
        "resize_mode": config.data.resize_mode if config.data.resize else None,
        "bit_depth": data.image_format.bit_depth,
        "num_images": len(table),
        "class_counts": counts(table.labels),
        "skipped_images": [
            {"image_id": image_id, "reason": reason} for image_id, reason in table.skipped.items()
        ],
        "num_duplicate_pairs": len(data.duplicate_pairs),
        "split": {
            "strategy": f"stratified_{folds}_folds" if folds else config.data.split_strategy,
            "seed": config.experiment.seed,
            "parts": {
                part: {
                    "num_images": len(indices),
                    "clean": int((table.labels[indices].sum(axis=1) == 0).sum()),
                    "class_counts": counts(table.labels[indices]),
                }
                for part, indices in split.items()
            },
        },
    }
    if "train" in split:
        labels = table.labels[split["train"]]
        record["sampler"] = describe_sampler(labels, config.data.sampler, names)
    return record
