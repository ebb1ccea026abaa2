"""What is to be learnt."""

from dataclasses import dataclass

from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Task:
    """A loader for each part of the split, and the names of the classes.

    `loaders` has the keys train, validation and test, and train_evaluation where the training
    part is to be scored as well: its images unaugmented and in order.
    """

    loaders: dict[str, DataLoader]
    class_names: tuple[str, ...]
    seed: int
