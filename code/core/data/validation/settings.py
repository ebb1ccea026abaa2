"""The `report` group of the validation's configuration."""

from pathlib import Path

from pydantic import Field

from core.validation import Settings


class ReportSettings(Settings):
    """Where the report is written, and how much of it is printed."""

    file: Path = Field(
        Path("experiments/results/data_report.json"),
        description="JSON file with everything that was found; written whole, over an older one",
    )
    examples: int = Field(5, ge=0, le=1000, description="lines that are printed of each finding")
