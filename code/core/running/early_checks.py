"""What can be said about a config before any data are read, for a form that is being filled in."""

from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.losses.factory import loss_for_training
from core.machine.device import choose_device
from core.running.components import check_objective
from core.running.cross_validation import check_split_strategy
from core.running.launching import check_devices
from core.running.mask_supervision import check_mask_keys
from core.training.classification.objective import Objective
from core.training.trackers import check_trackers


def check_early(config: TrainConfig) -> None:
    """Raise InputError, in the words of the training, for what it would refuse with any data."""
    check_devices(config)
    check_trackers(config.training.trackers)
    choose_device(config.runtime.device)
    if config.training.folds:
        check_split_strategy(config)
    check_mask_keys(config)
    AugmentationPipeline(
        config.augmentation,
        channels=config.data.channels,
        seed=config.experiment.seed,
        learns_masks=config.mask_loss is not None,
    )
    loss, mask_loss = loss_for_training(config.loss, "loss", masks=False), None
    if config.mask_loss is not None:
        values = {key: value for key, value in config.mask_loss.items() if key != "weight"}
        mask_loss = loss_for_training(values, "mask_loss", masks=True)
    check_objective(Objective(loss, mask_loss), config.training)
