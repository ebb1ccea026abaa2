"""The `search` keys of `code/search.py`."""

from pydantic import Field

from core.validation import Settings


class SearchSettings(Settings):
    """How settings are searched for; a study is shared by all that search with the same command."""

    num_trials: int = Field(
        24, ge=1, description="trainings that the study ends with, those of all processes counted"
    )
    pruning: bool = Field(
        True,
        description="end a trial whose best figure so far is below the median of the others at the "
        "same epoch, once the learning rate's warm-up is over",
    )
    latency: bool = Field(
        False,
        description="second objective: milliseconds that the model takes for one image on this "
        "machine; no trial is pruned then",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="of the sampler; another seed, another study")
    storage: str | None = Field(
        None,
        description="URL of a database that several machines share, such as "
        "postgresql://USER@HOST/NAME; null: a journal in the folder of the study",
    )
