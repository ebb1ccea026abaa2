"""Codebooks: vectors that stand for others, started from data, and revived from data when unused.

Everything that decides about them is in the state_dict, and random choices depend on a counter in
it. Statistics are summed over all processes, so their codebooks stay equal, bit for bit.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.machine import distributed

_MOST_UNUSED_BATCHES = 1000
_CLUSTERING_ROUNDS = 10


class Codebook(nn.Module, ABC):
    """`size` vectors and how often each is used. The subclass has the vectors as `vectors`.

    `usage` is an exponential average of the share of assignments, times `size`: 1 where all
    vectors are used alike. A vector below `revive_below` is replaced by one of the last batch.
    The vectors start from clusters of the first training batch. The averages move in `update` only,
    once a step of the optimizer, by all batches since the last one. `number` tells the codebooks of
    a model apart.
    """

    vectors: Tensor

    def __init__(
        self, size: int, channels: int, decay: float, revive_below: float, number: int
    ) -> None:
        super().__init__()
        self.size, self.decay, self.revive_below, self.number = size, decay, revive_below, number
        self.register_buffer("is_started", torch.tensor(False))
        self.register_buffer("num_choices", torch.tensor(0))
        self.register_buffer("usage", torch.ones(size))
        self.register_buffer("pending_counts", torch.zeros(size))
        self._last_rows: Tensor | None = None
        self._num_batches = 0

    def forward(self, rows: Tensor, counted: Tensor) -> Tensor:
        """The index of the vector for each row; in training, rows in the mask `counted` count.

        Shape: (rows, channels), (rows,) bool -> (rows,)
        """
        with torch.no_grad():
            if not self.training:
                return self.nearest(rows)
            self._last_rows = rows.detach()
            if not self.is_started:
                self._start()
            indices = self.nearest(rows)
            self._count(rows[counted], indices[counted])
            return indices

    @abstractmethod
    def nearest(self, rows: Tensor) -> Tensor:
        """The index of the vector for each row."""

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages by the batches since the last step, and revive unused vectors."""
        if self._last_rows is None:
            return
        counts = summed_over_processes(self.pending_counts)
        if total := counts.sum().item():
            self.usage.lerp_(counts * (self.size / total), 1 - self.decay)
            self._move(self.size / total)
            unused = self.usage < self.revive_below
            if unused.any():
                rows = self._rows_of_all_processes()
                self._replace(unused, self._drawn(rows, int(unused.sum())))
        self.pending_counts.zero_()
        self._last_rows, self._num_batches = None, 0

    def _start(self) -> None:
        """Cluster the first batch of all processes by k-means.

        Single rows would not do: in many channels, the shortest one is nearest to most residuals.
        """
        everything = torch.ones_like(self.usage, dtype=torch.bool)
        rows = self._rows_of_all_processes()
        self._replace(everything, self._drawn(rows, self.size))
        for _ in range(_CLUSTERING_ROUNDS):
            indices = self.nearest(rows)
            counts = torch.bincount(indices, minlength=self.size)
            sums = torch.zeros_like(self.vectors).index_add_(
                0, indices, rows.to(self.vectors.dtype)
            )
            is_used = counts > 0
            self._replace(is_used, sums[is_used] / counts[is_used].unsqueeze(1))
        if distributed.size() > 1:
            # Two kinds of processors need not round alike.
            self._replace(everything, gathered(self.vectors)[0])
        self.is_started.fill_(True)

    def _count(self, rows: Tensor, indices: Tensor) -> None:
        self.pending_counts += torch.bincount(indices, minlength=self.size)
        self._num_batches += 1
        if self._num_batches > _MOST_UNUSED_BATCHES:
            raise RuntimeError(
                f"a codebook saw {self._num_batches} training batches and no step of the "
                "optimizer: call bottleneck.follow(optimizer) before training"
            )

    def _move(self, scale: float) -> None:
        """Move the vectors by the batches since the last step; `scale` turns counts into usage."""

    def _replace(self, which: Tensor, rows: Tensor) -> None:
        self.vectors[which] = rows.to(self.vectors.dtype)
        self.usage[which] = 1.0

    def _rows_of_all_processes(self) -> Tensor:
        rows = self._last_rows
        if distributed.size() == 1:
            return rows
        return distributed.gathered_rows(rows, distributed.gathered(len(rows)))

    def _drawn(self, rows: Tensor, number: int) -> Tensor:
        """So many of the rows; in turn again where there are fewer."""
        generator = torch.Generator().manual_seed((self.number << 32) + int(self.num_choices))
        self.num_choices += 1
        order = torch.randperm(len(rows), generator=generator)
        return rows[order[torch.arange(number) % len(rows)].to(rows.device)]


class AveragedCodebook(Codebook):
    """Each vector is the exponential average of what it stood for; the nearest by distance.

    Source: van den Oord, Vinyals and Kavukcuoglu 2017, appendix A.1
    """

    def __init__(self, size: int, channels: int, *options: float) -> None:
        super().__init__(size, channels, *options)
        self.register_buffer("vectors", torch.randn(size, channels))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("pending_sums", torch.zeros(size, channels))

    def nearest(self, rows: Tensor) -> Tensor:
        vectors = self.vectors.to(rows.dtype)
        return (vectors.square().sum(1) - 2 * rows @ vectors.T).argmin(1)

    def _count(self, rows: Tensor, indices: Tensor) -> None:
        super()._count(rows, indices)
        self.pending_sums.index_add_(0, indices, rows.to(self.pending_sums.dtype))

    def _move(self, scale: float) -> None:
        self.sums.lerp_(summed_over_processes(self.pending_sums) * scale, 1 - self.decay)
        self.vectors.copy_(self.sums / self.usage.clamp(min=1e-6).unsqueeze(1))
        self.pending_sums.zero_()

    def _replace(self, which: Tensor, rows: Tensor) -> None:
        super()._replace(which, rows)
        self.sums[which] = self.vectors[which]


class LearnedCodebook(Codebook):
    """Vectors that learn by gradient; the nearest by cosine.

    Source: Kumar et al. 2023
    """

    def __init__(self, size: int, channels: int, *options: float) -> None:
        super().__init__(size, channels, *options)
        self.vectors = nn.Parameter(torch.randn(size, channels))

    def nearest(self, rows: Tensor) -> Tensor:
        vectors = F.normalize(self.vectors.to(rows.dtype))
        return (F.normalize(rows) @ vectors.T).argmax(1)


def summed_over_processes(mine: Tensor) -> Tensor:
    """The sum of the tensors of all processes, the same bits in each."""
    return mine if distributed.size() == 1 else gathered(mine).sum(0)


def gathered(mine: Tensor) -> Tensor:
    """The tensors of one shape of all processes, stacked."""
    return distributed.gathered_rows(mine.unsqueeze(0), [1] * distributed.size())
