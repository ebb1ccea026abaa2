"""What a model answers with."""

from collections.abc import Mapping

from torch import Tensor

Output = Tensor | Mapping[str, Tensor]


def logits_of(output: Output) -> Tensor:
    """A model answers with logits, or with a dict that holds them among other things."""
    return output["logits"] if isinstance(output, Mapping) else output
