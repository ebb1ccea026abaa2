"""What a detector of novelty consists of."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn


class Detector(nn.Module, ABC):
    """Says for each place of an image how far it is from what was learned.

    The arguments of its constructor are `detector.*`; all of them have defaults. What is learned
    stands in parameters and buffers, so that its state_dict restores it exactly. A buffer that the
    detector itself registers may have another size after `fit`: it takes the size that is loaded.
    """

    learned_by_gradient: ClassVar[bool]
    """Whether the trainer trains it, as a `LearnedDetector`, or `fit` a `OnePassDetector`."""

    stride: int | None = None
    """Pixels of the image from one place of the map to the next; None: its places share the image
    evenly, because the network resizes it.
    """

    def attach(self, channels: int, size: tuple[int, int]) -> None:
        """Make what depends on the images: their channels (1 or 3), and (height, width).

        Called once, before anything is learned or loaded.
        """
        return None

    @abstractmethod
    def distance_maps(self, images: Tensor) -> Tensor:
        """How far each place is from what was learned, independent of the batch's other images.

        Rows and columns are at the detector's own stride. ONNX can express it.
        Shape: uint8 (batch, channels, height, width) -> float32 (batch, rows, columns)
        """

    def rebuilt_by(self) -> dict[str, Any]:
        """Arguments to build it again before its state is loaded, instead of those given.

        They replace arguments that name files, which need not exist any more.
        """
        return {}

    def forward(self, images: Tensor) -> Tensor:
        return self.distance_maps(images)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in self._buffers.items():
            saved = state_dict.get(f"{prefix}{name}")
            if saved is not None and buffer is not None and buffer.shape != saved.shape:
                self._buffers[name] = buffer.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class OnePassDetector(Detector):
    """A detector that learns from the images in one pass, without gradients."""

    learned_by_gradient = False

    @abstractmethod
    def fit(self, batches: Iterable[Tensor], seed: int) -> dict[str, Any]:
        """Learn from batches of uint8 images of one size; returns figures for results.json.

        Everything random follows from the seed, and nothing depends on the size of the batches.
        Raises InputError where nothing was given, or a feature is not finite.
        """
