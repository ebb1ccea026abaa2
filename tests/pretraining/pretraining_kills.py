"""Kills tiny pretrainings at chosen moments, and resumes them."""

from pathlib import Path
from typing import Any

from kill_moments import Killing
from pretraining_runs import composed, outcome

from core.pretraining.command import find_pretraining
from core.pretraining.composition import pretrain


class PretrainingKilling(Killing):
    """Pretrainings beside one that nothing killed."""

    def compose(self, overrides: list[str]) -> Any:
        return composed(*overrides)

    def begin(self, config: Any) -> None:
        pretrain(config)

    def resume(self, path: Path) -> None:
        find_pretraining(str(path), self.composed, [])[1]()

    def outcome_of(self, path: Path) -> dict:
        return outcome(path)


def reports_of_pretraining_kills(folder: Path, overrides: list[str]) -> list[dict]:
    """How each of the pretrainings ended that were killed at the moments below."""
    killing = PretrainingKilling(folder, overrides)
    reports = [killing.kill(die_on=moment) for moment in MOMENTS]
    reports[0]["queue"] = next(
        value for key, value in killing.expected["last"]["objective"].items() if "queue.ids" in key
    )
    return reports


# Epochs have four steps: each is saved, and so is the end of the epoch.
MOMENTS = [("step", 3), ("half of last.pt", 8), ("step", 7), ("rename last.pt", 9)]
