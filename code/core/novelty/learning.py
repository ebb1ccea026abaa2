"""Learning by gradient: what a detector's training is made of."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from core.data.loaders import make_loader
from core.data.sampling import BatchShard
from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.machine.distributed import rank, size
from core.machine.interruption import Interruption
from core.machine.process_group import others_may_fail
from core.novelty.choosing import Part, split_by_groups
from core.novelty.detectors.learned import LearnedDetector
from core.novelty.settings import NoveltyConfig
from core.novelty.task import NoveltyTask
from core.pretraining.strips import ViewDataset
from core.pretraining.views import PairOfViews, ViewSettings
from core.running.computation import Computation, recorded
from core.running.out_of_memory import is_out_of_memory
from core.training.callbacks import chosen_callbacks
from core.training.learner import Learner
from core.training.trainer import Trainer

_WATCHED_SHARE = 0.1
_MOST_WATCHED = 256
_UNCHANGED = ViewSettings(horizontal_flip=0, vertical_flip=0, gain=0, offset=0)


@dataclass(frozen=True)
class Learning:
    """A detector's learner and task, built from a config, and how many strips each part has."""

    learner: Learner
    task: NoveltyTask
    num_learned: int
    num_watched: int

    @classmethod
    def of(
        cls, config: NoveltyConfig, part: Part, detector: LearnedDetector, device: torch.device
    ) -> "Learning":
        """A tenth of the part, whole groups of near-duplicates, is not learned from but chooses the
        best epoch. Raises InputError where there are too few strips.
        """
        learned, watched = learned_and_watched(part.groups, config.experiment.seed)
        if not (len(learned) and len(watched)):
            raise InputError(
                f"detector.name={config.detector['name']}: {len(part)} clean strips to learn from, "
                "of which a tenth is held out: expected at least 2 that are no near-duplicates"
            )
        is_cuda = device.type == "cuda"
        rows = part.rows[learned], part.rows[watched]
        train, held_out = build_loaders(config, part, detector, rows, pin_memory=is_cuda)
        task = NoveltyTask(detector, train, held_out, config.experiment.seed)
        learner = Learner.create(
            detector.network,
            task.objective,
            config.training,
            steps_per_epoch=len(train),
            device=device,
            runtime=config.runtime,
        )
        detector.follow(learner.optimizer)
        return cls(learner, task, len(learned), len(watched))

    def train(
        self,
        config: NoveltyConfig,
        folder: ExperimentFolder,
        interruption: Interruption,
        checkpoint: dict[str, Any] | None = None,
    ) -> None:
        """Train, from the `checkpoint` that the learner was restored to, if any. The detector then
        has the tested weights.
        """
        numbers = {"num_learned": self.num_learned, "num_watched": self.num_watched}
        computation = Computation.of(config, self.learner.device)
        folder.record(
            fit=numbers,
            computation={
                **recorded(computation),
                "precision": self.learner.precision.name,  # of a resumed one, that it began with
                "devices": size(),
            },
        )
        trainer = Trainer(
            self.learner,
            self.task,
            folder,
            settings=config.training,
            interruption=interruption,
            callbacks=chosen_callbacks(config.training, folder.path, self.task.criterion),
        )
        if checkpoint:
            trainer.continue_from(checkpoint)
        with others_may_fail():
            try:
                trainer.fit()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise InputError(
                    f"out of memory on {self.learner.device.type} with data.batch_size="
                    f"{config.data.batch_size}: give a smaller one, or views.window=[128,256]"
                ) from error


def learned_and_watched(groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, and others: a tenth, at most 256, or the smallest group if none fits."""
    share = min(_WATCHED_SHARE, _MOST_WATCHED / max(1, len(groups)))
    learned, watched = split_by_groups(groups, (share,), seed)
    if len(watched) or len(np.unique(groups)) < 2:
        return learned, watched
    sizes = np.bincount(groups)
    is_watched = groups == np.where(sizes > 0, sizes, len(groups) + 1).argmin()
    return np.flatnonzero(~is_watched), np.flatnonzero(is_watched)


def build_loaders(
    config: NoveltyConfig,
    part: Part,
    detector: LearnedDetector,
    rows: tuple[np.ndarray, np.ndarray],
    pin_memory: bool,
) -> list[DataLoader]:
    """Views of the strips to learn from, in processes that share batches, and unchanged strips."""
    strips, seed = replace(part.strips, labels=None), config.experiment.seed
    shard = BatchShard(rank(), size()) if size() > 1 else None
    settings = (config.views, _UNCHANGED)
    pairs = [detector.pairs(PairOfViews(one, seed), strips.images, rows[0]) for one in settings]
    datasets = [
        ViewDataset(strips, rows[0], pairs[0], shard),
        ViewDataset(strips, rows[1], pairs[1]),
    ]
    return [
        make_loader(
            dataset,
            config.data.batch_size,
            seed=seed,
            shuffle=place == 0,
            num_workers=config.data.workers,
            pin_memory=pin_memory,
        )
        for place, dataset in enumerate(datasets)
    ]
