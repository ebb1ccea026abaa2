"""Which images an epoch draws, how often, in which order, and which process reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

SamplerName = Literal["natural", "balanced", "sqrt"]


def image_weights(labels: np.ndarray, sampler: SamplerName) -> np.ndarray | None:
    """Probability that a draw is this image; None: each image once, in random order.

    `balanced` is class-aware sampling: one of the classes, of which clean is one, is drawn
    evenly and then one of its images; an image of several classes adds up their probabilities.
    `sqrt` is repeat factor sampling with threshold 1: max over the classes of an image of
    sqrt(1 / f_c), f_c the share of images that show the class, and 1 for a clean image.

    Shape: labels (N, C) multi-hot; out float64 (N,), sum 1.
    Sources: Shen, Lin and Huang, "Relay Backpropagation for Effective Learning of Deep
    Convolutional Neural Networks", 2016; Gupta, Dollár and Girshick, "LVIS: A Dataset for Large
    Vocabulary Instance Segmentation", 2019.
    """
    if sampler == "natural":
        return None
    present = np.asarray(labels, bool)
    if sampler == "balanced":
        groups = np.column_stack([present, ~present.any(axis=1)])
        weights = (groups / np.maximum(1, groups.sum(axis=0))).sum(axis=1)
    else:
        repeats = np.sqrt(len(present) / np.maximum(1, present.sum(axis=0)))
        weights = np.where(present, repeats, 1.0).max(axis=1)
    return weights / weights.sum()


def expected_shares(labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Share of the draws that shows each class, float64 (C,)."""
    if weights is None:
        return labels.sum(axis=0) / len(labels)
    return weights @ np.asarray(labels, np.float64)


def describe_sampler(
    labels: np.ndarray, sampler: SamplerName, class_names: Sequence[str]
) -> dict[str, Any]:
    """The sampler, and the expected share of each class and of clean images among the draws."""
    with_clean = np.column_stack([labels, ~np.asarray(labels, bool).any(axis=1)])
    *shares, clean = expected_shares(with_clean, image_weights(labels, sampler)).tolist()
    return {
        "name": sampler,
        "expected_class_shares": dict(zip(class_names, shares, strict=True)),
        "expected_clean_share": clean,
    }


@dataclass(eq=False)
class EpochSampler:
    """Draws of a data set: in order, or at random as a pure function of (seed, epoch).

    At random each image comes once or, with `weights`, as many images are drawn with replacement
    by these probabilities. A draw is the position of an image plus, for each time that the epoch
    drew it before, the number of images, so that each draw is transformed in its own way.
    """

    num_images: int
    seed: int
    shuffle: bool
    weights: np.ndarray | None = None
    epoch: int = field(default=0, init=False)
    start: int = field(default=0, init=False)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the order of the next pass, and how many of its draws to leave out."""
        self.epoch = epoch
        self.start = min(start, self.num_images)

    def __len__(self) -> int:
        return self.num_images - self.start

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(self.start, self.num_images))
        generator = np.random.default_rng(np.random.SeedSequence((self.seed, self.epoch)))
        if self.weights is None:
            return iter(generator.permutation(self.num_images)[self.start :].tolist())
        positions = generator.choice(self.num_images, self.num_images, p=self.weights)
        draws = positions + self.num_images * _times_before(positions)
        return iter(draws[self.start :].tolist())


def _times_before(positions: np.ndarray) -> np.ndarray:
    """How often each entry occurs among those before it."""
    order = np.argsort(positions, kind="stable")
    _, starts, counts = np.unique(positions[order], return_index=True, return_counts=True)
    times = np.empty_like(positions)
    times[order] = np.arange(len(positions)) - np.repeat(starts, counts)
    return times


@dataclass(frozen=True)
class BatchShard:
    """The images of every batch that process number `rank` of `num_processes` reads.

    Shards are runs of images: in the order of their processes they make up the batch. A batch of
    fewer images than processes is not divided: each process reads all of it.
    """

    rank: int
    num_processes: int

    def sizes(self, num_images: int) -> list[int] | None:
        """How many images of a batch each process reads; None where each reads all of them."""
        if num_images < self.num_processes:
            return None
        few, more = divmod(num_images, self.num_processes)
        return [few + (rank < more) for rank in range(self.num_processes)]

    def images(self, num_images: int) -> slice:
        """The positions in a batch of the images that this process reads."""
        sizes = self.sizes(num_images)
        if sizes is None:
            return slice(0, num_images)
        first = sum(sizes[: self.rank])
        return slice(first, first + sizes[self.rank])
