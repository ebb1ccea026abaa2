"""Embeddings of a whole batch that several processes share."""

from collections.abc import Sequence

from torch import Tensor

from core.machine.distributed import GatheredRows, size


def gather_embeddings(embeddings: Tensor, sizes: Sequence[int] | None) -> Tensor:
    """The rows of all processes in their order; `sizes` holds how many each process has.

    Each process then computes the same loss of the whole batch. A gradient reaches the rows of this
    process alone, times the number of processes, since DistributedDataParallel takes means where
    sums are due. Without `sizes`, each process has the whole batch already.
    """
    if sizes is None or size() == 1:
        return embeddings
    return GatheredRows.apply(embeddings, sizes)
