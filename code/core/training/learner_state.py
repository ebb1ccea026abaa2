"""What a checkpoint holds of a learner, and a learner set back to it."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.training import distributed
from core.training.epoch_progress import EpochProgress
from core.training.learner import Learner
from core.training.seeding import random_state, restore_random_state

# What a training goes on by beside its learner.
PLACE = ("history", "best_epoch", "training_seconds", "epoch_progress")


def learner_state(learner: Learner) -> dict[str, Any]:
    """Weights, optimizer and the number of updates, on which the learning rate depends.

    `model` is what is evaluated. Where that is an average, `training_model` is what goes on.
    """
    state = {
        "model": learner.evaluated_model.state_dict(),
        "objective": learner.objective.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "num_updates": learner.num_updates,
        "precision": learner.precision.name,
    }
    if learner.average is not None:
        state["training_model"] = learner.model.state_dict()
    if learner.scaler.is_enabled():
        state["scaler"] = learner.scaler.state_dict()
    return state


def restore_learner(learner: Learner, state: dict[str, Any], file: Path) -> None:
    """Set the learner back, its learning rate to what its own schedule says.

    Raises:
        InputError: the state in `file` is not of this model, loss or optimizer.
    """
    try:
        learner.evaluated_model.load_state_dict(state["model"])
        if learner.average is not None:
            learner.model.load_state_dict(state["training_model"])
        if learner.scaler.is_enabled():
            learner.scaler.load_state_dict(state["scaler"])
        learner.objective.load_state_dict(state["objective"])
        learner.optimizer.load_state_dict(state["optimizer"])
        learner.num_updates = int(state["num_updates"])
        if missing := [key for key in PLACE if key not in state]:
            raise KeyError(f"no {missing[0]}")
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        model, loss = type(learner.model).__name__, type(learner.objective.image_loss).__name__
        raise InputError(
            f"{file}: is not of the {model}, {loss} and {type(learner.optimizer).__name__} of this "
            f"config ({reason}): give back the checkpoint that belongs here, or train again"
        ) from None
    learner.scheduler.step_update(learner.num_updates)


def epoch_state(learner: Learner, progress: EpochProgress) -> dict[str, Any]:
    """What goes on within an epoch beside `learner_state`; random numbers of each process."""
    return {
        "progress": progress.state(),
        "objective": learner.objective.epoch_state(),
        "random": distributed.gathered(random_state(learner.device)),
    }


def restore_epoch(learner: Learner, state: dict[str, Any]) -> EpochProgress:
    """Go on within an epoch, whose beginning has been repeated: seeds set, loss told.

    Among another number of processes than it began in, generators stay as they were seeded.
    """
    learner.objective.restore_epoch_state(state["objective"], learner.device)
    if len(state["random"]) == distributed.size():
        restore_random_state(state["random"][distributed.rank()], learner.device)
    return EpochProgress.restored(state["progress"], learner.device)
