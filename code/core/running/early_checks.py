"""What can be said about a config before any data are read, such as of a form that is filled in."""

from functools import partial

from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.losses.factory import loss_for_training
from core.models.pretrained import known_config
from core.running import composition, cross_validation
from core.running.components import check_objective
from core.running.launching import Work, check_devices
from core.running.mask_supervision import check_mask_keys
from core.training.classification.objective import Objective
from core.training.trackers import check_trackers


def checked_training(config: TrainConfig) -> Work:
    """The training or cross-validation of this config, which `check_early` has checked."""
    check_early(config)
    folds = config.training.folds
    return partial(cross_validation.cross_validate if folds else composition.train, config)


def check_early(config: TrainConfig) -> None:
    """Raise InputError, in the words of the training, for what it would refuse with any data."""
    check_devices(config)
    check_trackers(config.training.trackers)
    if config.training.folds:
        cross_validation.check_split_strategy(config)
    check_mask_keys(config)
    if backbone := config.model.get("backbone"):
        known_config(backbone)
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
