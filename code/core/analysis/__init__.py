"""What experiments wrote to disk, read back: compared, ranked, reported.

Each name is imported when it is asked for: listing experiments needs no scikit-learn.
"""

import importlib
from typing import Any

_MODULES = {
    "compare_results": "core.analysis.comparison",
    "read_experiment": "core.experiments.reading",
    "write_model_card": "core.analysis.model_card",
    "write_report": "core.analysis.report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
