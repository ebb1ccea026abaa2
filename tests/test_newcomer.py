"""The files that the README tells a newcomer to write train, and pass the suite, as they are."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from hydra.core.config_store import ConfigStore

from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models

SAMPLES: dict[str, str] = dict(
    re.findall(
        r"`(code/core/\w+/\w+\.py)`:\n\n```python\n(.*?)```",
        (REPOSITORY / "README.md").read_text(),
        flags=re.DOTALL,
    )
)
"""The text of each file, by its path."""

# What tests a component for being registered.
CONTRACTS = ["models/test_model_contract.py", "losses/test_loss_contract.py",
             "losses/test_loss_records.py", "losses/test_loss_references.py",
             "golden/test_golden.py", "command/test_help.py"]  # fmt: skip


@pytest.mark.parametrize(
    "convolution", ["nn.Conv2d(1, ", pytest.param("nn.LazyConv2d(", marks=pytest.mark.slow)]
)
def test_they_train_by_name(convolution, train_command, tiny, tmp_path):
    """Under other names, since a newcomer may have written files of these names."""
    kept = [item for item in tiny if not item.startswith("model")]
    chosen = ["model.name=sample_model", "model.width=6", "loss.type=sample_loss", "loss.scale=3"]
    text = "\n".join(SAMPLES.values()).replace('"my_', '"sample_')
    try:
        exec(text.replace("nn.Conv2d(1, ", convolution), {})
        ended = train_command(*kept, *chosen, f"experiment.results_dir={tmp_path}")
    finally:
        models().unregister("sample_model")
        losses().unregister("sample_loss")
        # Hydra's store outlives a test, and other tests look into it.
        for group, name in (("model", "model"), ("loss", "loss"), ("mask_loss", "loss")):
            ConfigStore.instance().repo[group].pop(f"sample_{name}.yaml", None)
    assert ended.exit_code == 0, ended.errors
    (file,) = tmp_path.glob("*/results.json")
    results = json.loads(file.read_text())
    assert results["config"]["model"] == {"name": "sample_model", "num_classes": 4, "width": 6}
    assert results["model"]["num_parameters"] == 6 * 7 * 7 + 6 + 6 * 4 + 4
    assert results["loss"]["params"]["scale"] == 3


@pytest.mark.slow
def test_they_pass_the_contracts(tmp_path):
    for name in ("code", "tests"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for path, text in SAMPLES.items():
        (tmp_path / path).write_text(text)
    contracts = [f"tests/{contract}" for contract in CONTRACTS]
    chosen = "my_model or my_loss or test_losses or help"
    command = [sys.executable, "-m", "pytest", "-n0", *contracts, "-k", chosen]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert int(re.findall(r"(\d+) passed", ended.stdout)[0]) > 40
