"""What experiments wrote to disk, read back: compared, ranked, reported."""

from core import imported_when_asked

_HOMES = {
    "compare_results": "core.analysis.comparison",
    "load_json": "core.experiments.reading",
    "read_experiment": "core.experiments.reading",
    "write_model_card": "core.analysis.model_card",
    "write_report": "core.analysis.report",
}
__all__ = list(_HOMES)
__getattr__ = imported_when_asked(__name__, _HOMES)
