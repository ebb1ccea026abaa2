"""How long a trial may take, and on how many images."""

import time
from collections.abc import Callable

import torch

from core.autotuning.contest import FEWEST_ROUNDS

# A trial takes at most this share of the work that it is for, and at most so many seconds.
SHARE, LONGEST_SECONDS = 0.05, 20.0
# Steps in a shorter time say more about the machine's other work than about the contenders.
SHORTEST_SECONDS = 0.25
# Batch normalisation takes no variance from a single image.
FEWEST_IMAGES = 2

Clock = Callable[[], float]


class Budget:
    """Seconds that run down from now on."""

    def __init__(self, seconds: float, clock: Clock = time.perf_counter) -> None:
        self.seconds, self._clock, self._begun = seconds, clock, clock()

    @property
    def spent(self) -> float:
        """Seconds since the budget was opened."""
        return self._clock() - self._begun

    @property
    def left(self) -> float:
        """Seconds until it is used up; negative if it was overdrawn."""
        return self.seconds - self.spent


def images_for_trial(num_images: int) -> float:
    """How many of so many images a trial may take, if they take long."""
    return SHARE * num_images


def too_little_work(num_images: int, contenders: int) -> str:
    """Why so many images are too few for a trial, whatever an image takes; empty: they are not."""
    needed = contenders * _images_of_each(FEWEST_IMAGES)
    if images_for_trial(num_images) >= needed:
        return ""
    return (
        f"a trial of {contenders} takes {needed} images, more than {SHARE:.0%} of the "
        f"{num_images} here"
    )


def seconds_for(num_images: int, seconds_per_image: float) -> float:
    """The budget of a trial for so many images."""
    return min(LONGEST_SECONDS, SHARE * num_images * seconds_per_image)


def images_of_a_turn(
    seconds: float, seconds_per_image: float, batch_size: int, contenders: int
) -> int:
    """A batch, or its half, quarter and so on, so that the trial fits; 0: nothing fits."""
    if seconds < SHORTEST_SECONDS:
        return 0
    num_images, of_all = batch_size, contenders * seconds_per_image
    while num_images > FEWEST_IMAGES and of_all * _images_of_each(num_images) > seconds:
        num_images = max(FEWEST_IMAGES, num_images // 2)
    return num_images if of_all * _images_of_each(num_images) <= seconds else 0


def _images_of_each(num_images: int) -> int:
    """The images that a contender takes at least, with turns of `num_images` after a first one."""
    return FEWEST_IMAGES + FEWEST_ROUNDS * num_images


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """The seconds of `work`, with what it leaves to the GPU.

    For one thread on a CPU, they are those in which it computed: whatever else the machine does in
    between does not count.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    _wait_for(device)
    begun = clock()
    work()
    _wait_for(device)
    return clock() - begun


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
