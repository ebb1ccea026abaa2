"""What importing settings and experiments costs."""

import subprocess
import sys

from conftest import REPOSITORY


def test_settings_and_experiments_are_read_without_what_takes_seconds_to_import():
    code = (
        "import sys; sys.path.insert(0, 'code')\n"
        "from core.metrics.evaluation_settings import EvaluationSettings\n"
        "from core.experiments.reading import read_experiment\n"
        "import core.analysis.comparison\n"
        "print({'sklearn', 'pandas', 'torch'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "none"
