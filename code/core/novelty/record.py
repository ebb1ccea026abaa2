"""What fitting a detector writes beside the detector: config, data, and a card."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from core.experiments.environment import command_line, describe_environment
from core.experiments.folder import ExperimentFolder
from core.experiments.schema import NOVELTY
from core.files.tables import write_table
from core.files.writing import write_text
from core.machine.device import choose_device
from core.novelty.choosing import Chosen
from core.novelty.detectors import Detector
from core.novelty.evaluation import figures_text
from core.novelty.settings import NoveltyConfig

log = logging.getLogger(__name__)

CARD_FILE = "DETECTOR_CARD.md"
STRIPS_FILE = "strips.csv"


def describe(
    folder: ExperimentFolder, config: NoveltyConfig, chosen: Chosen, detector: Detector
) -> None:
    """Write everything that is known before anything is learned."""
    resolved = config.resolved()
    write_text(folder.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    parts = {"fit": chosen.fit, "threshold": chosen.threshold, "test": chosen.test}
    rows = (
        [str(part.strips.names[row]), name, int(group)]
        for name, part in parts.items()
        for row, group in zip(part.rows.tolist(), part.groups, strict=True)
    )
    write_table(folder.path / STRIPS_FILE, ["image", "part", "group"], rows)
    parameters = list(detector.parameters())
    folder.record(
        kind=NOVELTY,
        experiment={
            "command": command_line(),
            **folder.results["experiment"],
            "seed": config.experiment.seed,
        },
        config=resolved,
        environment=describe_environment(choose_device(config.runtime.device)),
        data={
            **chosen.about,
            "image_size": list(chosen.image_format.size),
            "bit_depth": chosen.image_format.bit_depth,
            "class_names": list(chosen.tested.class_names),
            **{f"num_{name}": len(part) for name, part in parts.items()},
            **{f"num_{name}_groups": len(np.unique(p.groups)) for name, p in parts.items()},
        },
        model={
            "name": config.detector["name"],
            "num_parameters": sum(p.numel() for p in parameters),
            "num_trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        },
    )
    log.info(
        "%s on %d strips of %s; %d strips set the threshold, %d test it",
        config.detector["name"], len(chosen.fit), chosen.about["source"], len(chosen.threshold),
        len(chosen.test),
    )  # fmt: skip


def write_card(
    folder: Path, config: NoveltyConfig, chosen: Chosen, sections: dict[str, Any]
) -> None:
    """Write the page that says what the detector was fitted on and what it is worth."""
    threshold, name = sections["threshold"], config.detector["name"]
    low, high = threshold["interval_per_1000"]
    figures = figures_text(sections["test"], name)
    if "baseline" in sections:
        figures += figures_text(sections["baseline"]["test"], "high_pass, which learns nothing")
    tested = chosen.about.get("tested_on", chosen.about["source"])
    text = f"""\
# Detector of novelty

`detector.safetensors` holds a detector of strips that are unlike the clean ones that it was fitted
on. To use it:

    python code/novelty.py score {folder} IMAGES...
    python code/predict.py MODEL IMAGES... --novelty {folder}

| | |
|---|---|
| detector | {name} |
| fitted on | {len(chosen.fit)} strips of {chosen.about["source"]} |
| threshold | {threshold["threshold"]:.6g}, from {threshold["num_strips"]} other clean strips |
| false alarms per 1,000, expected | {threshold["expected_per_1000"]:.3g} [{low:.3g}, {high:.3g}], chosen {threshold["chosen_per_1000"]:g} |
| tested on | {len(chosen.test)} strips of {tested} |

Intervals are of 95 %. The threshold holds for strips that look as those it was chosen from: a new
product, camera or light needs another fit.

```
{chr(10).join(figures)}
```
"""  # noqa: E501
    write_text(folder / CARD_FILE, text)
