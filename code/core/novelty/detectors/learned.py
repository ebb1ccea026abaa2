"""Detectors that learn by gradient: what the trainer is given of them."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from core.data.image_source import ImageSource
from core.novelty.detectors.base import Detector
from core.pretraining.views import PairOfViews, Pairs
from core.training.progress import Criterion


class LearnedDetector(Detector):
    """A detector whose `network` the trainer trains.

    The network's output for images is a dict, which the loss and the map of distances read. A
    subclass makes it in `attach`.
    """

    learned_by_gradient = True
    criterion: ClassVar[Criterion]
    """What the best epoch is chosen by, on clean strips that are not learned from."""
    network: nn.Module

    @abstractmethod
    def create_loss(self) -> nn.Module:
        """A module that takes an output and its targets, and returns the loss and its terms by
        their names, as `AutoencoderLoss` does.
        """

    @abstractmethod
    def pairs(self, views: PairOfViews, images: ImageSource, rows: np.ndarray) -> Pairs:
        """What makes the input and the target of an image, uint8 both, from a view of it.

        `rows` are those of the images that are learned from.
        """

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Called once before the first step, for what has to change after each step."""
        return None
