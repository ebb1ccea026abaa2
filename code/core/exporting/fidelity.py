"""What computing in fewer bits costs: macro-F1 of the validation part, beside float32's."""

from dataclasses import dataclass
from typing import Any

# Half a point of macro-F1.
MOST_LOST = 0.005


@dataclass(frozen=True)
class Fidelity:
    """Macro-F1 of the validation part at 0.5 and as predict.py decides, and what float32 has."""

    at_half: float
    at_half_float32: float
    at_thresholds: float
    at_thresholds_float32: float

    @property
    def lost(self) -> float:
        """The larger of both losses; negative where both have risen."""
        return max(
            self.at_half_float32 - self.at_half, self.at_thresholds_float32 - self.at_thresholds
        )

    @property
    def is_kept(self) -> bool:
        """Whether at most half a point is lost."""
        return self.lost <= MOST_LOST

    def record(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return {
            "part": "validation",
            "macro_f1": {"at_0.5": self.at_half, "at_thresholds": self.at_thresholds},
            "macro_f1_float32": {
                "at_0.5": self.at_half_float32,
                "at_thresholds": self.at_thresholds_float32,
            },
            "lost": self.lost,
            "most_lost": MOST_LOST,
        }

    def __str__(self) -> str:
        return (
            f"macro-F1 {self.at_half:.3f} on the validation part, float32 "
            f"{self.at_half_float32:.3f} (at the thresholds {self.at_thresholds:.3f}, "
            f"{self.at_thresholds_float32:.3f})"
        )
