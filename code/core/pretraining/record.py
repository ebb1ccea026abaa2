"""What a pretraining writes before its first step, and what its encoder's card holds."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from core.data.split_file import write_split
from core.experiments.environment import command_line, describe_environment
from core.experiments.folder import ExperimentFolder
from core.experiments.schema import PRETRAINING
from core.experiments.strips import SPLIT_FILE
from core.files.writing import write_text
from core.machine.distributed import size
from core.pretraining.choosing import Chosen
from core.pretraining.settings import PretrainConfig
from core.running.computation import Computation, recorded
from core.running.experiment_record import describe_initial_weights
from core.training.learner import Learner

log = logging.getLogger(__name__)


def describe(
    folder: ExperimentFolder, config: PretrainConfig, chosen: Chosen, learner: Learner
) -> None:
    """Write everything that is known before the first step."""
    resolved = config.resolved()
    write_text(folder.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    if chosen.split is not None:
        write_split(folder.path / SPLIT_FILE, chosen.labelled.table, chosen.split)
    parameters = list(learner.model.parameters())
    params = {key: value for key, value in config.method.items() if key != "name"}
    seed = {"seed": config.experiment.seed}
    folder.record(
        kind=PRETRAINING,
        experiment={"command": command_line(), **folder.results["experiment"], **seed},
        config=resolved,
        environment=describe_environment(learner.device),
        computation={
            **recorded(Computation.of(config, learner.device)),
            "precision": learner.precision.name,  # of a resumed one, that it began with
            "devices": size(),
        },
        data={
            # Found again from another folder, to compare it with the test part of a training.
            "source": "-" if chosen.source == "-" else str(Path(chosen.source).absolute()),
            "part": chosen.part,
            "fingerprint": chosen.fingerprint,
            "image_size": list(chosen.image_format.size),
            "bit_depth": chosen.image_format.bit_depth,
            "num_images": len(chosen.train),
            "num_watched": len(chosen.watched),
            "probe": None if chosen.labelled is None else str(chosen.labelled.table.root),
        },
        model={
            "name": config.model["name"],
            "num_parameters": sum(p.numel() for p in parameters),
            "num_trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "initial_weights": describe_initial_weights(learner.model, config.model),
        },
        method={"type": config.method["name"], "params": params},
        views=config.views.model_dump(mode="json"),
    )
    log.info(
        "%s by %s, %d images of %s, %s on %s",
        config.model["name"], config.method["name"], len(chosen.train), chosen.source,
        learner.precision.name, learner.device,
    )  # fmt: skip
    if config.data.allow_all:
        log.warning("data.allow_all=true: images that later trainings test on may be learned from")


def encoder_card(config: PretrainConfig, chosen: Chosen, encoder: nn.Module) -> dict[str, Any]:
    """What the encoder is learned from and by, as far as it is known before the training."""
    return {
        "model": config.model["name"],
        "method": config.method["name"],
        "learned_from": f"{len(chosen.train)} images of {chosen.source} ({chosen.part})",
        "data_fingerprint": chosen.fingerprint,
        "image_size": "x".join(map(str, chosen.image_format.size)),
        "window": config.views.window and "x".join(map(str, config.views.window)),
        "initial_weights": describe_initial_weights(encoder, config.model)["source"],
        "seed": config.experiment.seed,
    }
