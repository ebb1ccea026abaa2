"""Slips in the file of a newcomer's model or loss: one line with file, line and remedy."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, Ended
from hydra.core.config_store import ConfigStore
from outcomes import differences, outcome
from test_newcomer import SAMPLES

from core.losses.registry import get_registry as losses
from core.models.registry import get_registry as models

MODEL, LOSS = SAMPLES.values()
LAST = "return self.layers(images.mean(1, keepdim=True))"
MEAN = "return reduced("
ARGUMENTS = "num_classes: NumClasses = 4, width: Width = 16"
WITHOUT_DEFAULT = "width: Width, num_classes: NumClasses = 4"
CHECKED = "logits, targets = self.checked(logits, targets)"


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


# A change of the sample, then what the message must say beside the file and the line.
MODEL_SLIPS = {
    "(batch, 1) out": ("nn.Linear(width, num_classes)", "nn.Linear(width, 1)", "def forward",
                       ["(2, 1)", "(2, 4)", "num_classes"]),
    "a tuple out": (LAST, f"{LAST}, None", "def forward", ["tuple", "(2, 4)", "`logits`"]),
    "integers out": (LAST, f"{LAST}.long()", "def forward", ["torch.int64", "floating"]),
    "no gradient": (LAST, f"{LAST}.detach()", "def forward", ["gradient", "detach()"]),
    "forward misspelt": ("def forward", "def forwad", "def forwad", ["forwad", "forward"]),
    "bytes": ("if not images.is_floating_point():", "if False:", "return self.layers(",
              ["uint8", "255"]),
    "three channels": ("nn.Conv2d(1, ", "nn.Conv2d(3, ", "return self.layers(", ["channel"]),
    "no super": ("super().__init__()", "pass", "self.layers = ", ["super().__init__()"]),
    "an error": ("kernel_size=7", "kernel=7", "nn.Conv2d(", ["TypeError", "kernel"]),
    "no default": (ARGUMENTS, WITHOUT_DEFAULT, "def __init__", ["model.width=VALUE", "default"]),
}  # fmt: skip
LOSS_SLIPS = {
    "no scalar": ("** 2, self.reduction)", '** 2, "none")', "def forward", ["(2, 4)", "reduced"]),
    "a number": (MEAN, "return float(targets.sum()) #", "def forward", ["float", "gradient"]),
    "nothing": (MEAN, "return None #", "def forward", ["NoneType", "one number"]),
    "no gradient": (CHECKED, CHECKED.replace("(logits", "(logits.detach()"), "def forward",
                    ["gradient", "detach()"]),
    "integers": (MEAN, "return logits.sum().long() #", "def forward", ["torch.int64"]),
    "not of logits": (MEAN, "return (torch.ones(1, requires_grad=True) * 2).sum() #", "def forward",
                      ["does not depend on the logits"]),
    "forward misspelt": ("def forward", "def foward", "def foward", ["foward", "forward"]),
    "an error": (MEAN, "return self.nothing(", "return self.nothing", ["AttributeError"]),
    "argument not kept": ("scale: Scale", "power: int = 2, scale: Scale", "def __init__",
                          ["'power'", "as an attribute"]),
}  # fmt: skip
CASES = [("model", name) for name in MODEL_SLIPS] + [("loss", name) for name in LOSS_SLIPS]


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """Write the newcomer's two files, and import them."""

    def write(model: str = MODEL, loss: str = LOSS) -> None:
        for name, text in (("model", model), ("loss", loss)):
            file = tmp_path / f"slip_{name}.py"
            file.write_text(text.replace(f'"my_{name}"', f'"slip_{name}"'))
            spec = importlib.util.spec_from_file_location(file.stem, file)
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, file.stem, module)
            spec.loader.exec_module(module)

    yield write
    for registry, name in ((models(), "model"), (losses(), "loss")):
        if f"slip_{name}" in registry:
            registry.unregister(f"slip_{name}")
    # Hydra's store outlives a test, and other tests look into it.
    for group, name in (("model", "model"), ("loss", "loss"), ("mask_loss", "loss")):
        ConfigStore.instance().repo.get(group, {}).pop(f"slip_{name}.yaml", None)


def overrides(tiny: list[str]) -> list[str]:
    kept = [item for item in tiny if not item.startswith("model")]
    return [*kept, "model.name=slip_model", "loss.type=slip_loss"]


def test_one_number_for_batch_normalisation_says_which_keys_to_change(
    train_command, tiny, tmp_path
):
    ended = train_command(
        *tiny, "data.batch_size=1", "data.resize=[32,32]", "model.backbone=resnet18",
        f"experiment.results_dir={tmp_path}",
    )  # fmt: skip
    assert ended.exit_code == 2
    assert "data.batch_size of 2 or more" in ended.errors


@pytest.mark.parametrize(("component", "slip"), CASES)
def test_a_slip(component, slip, newcomer, train_command, tiny, tmp_path):
    text = MODEL if component == "model" else LOSS
    old, new, at, words = (MODEL_SLIPS if component == "model" else LOSS_SLIPS)[slip]
    assert old in text
    changed = text.replace(old, new)
    newcomer(**{component: changed})
    results = tmp_path / "results"
    ended = train_command(*overrides(tiny), f"experiment.results_dir={results}")
    assert ended.exit_code == 2, ended.errors
    (line,) = ended.errors.splitlines()
    place = f"slip_{component}.py, line {line_of(changed, at)}"
    assert all(word in line for word in [place, *words]), line
    assert not results.exists()


@pytest.mark.slow
def test_no_default_is_no_matter_where_a_value_is_given(newcomer, train_command, tiny, tmp_path):
    newcomer(model=MODEL.replace(ARGUMENTS, WITHOUT_DEFAULT))
    chosen = [*overrides(tiny), "model.width=4", f"experiment.results_dir={tmp_path / 'results'}"]
    ended = train_command(*chosen)
    assert ended.exit_code == 0, ended.errors


# Everything that a step changes: statistics of a batch, a weight by the first batch, generators,
# attributes.
TRACES = {
    "nn.Conv2d(1, width, kernel_size=7, stride=4),":
        "nn.Conv2d(1, width, kernel_size=7, stride=4), nn.BatchNorm2d(width), nn.Dropout(0.3),",
    "    def forward(": "    calls = 0\n\n    def forward(",
    "        if not images": "        self.calls += 1\n        import random\n"
        "        noise = random.random() + np.random.rand() + self.calls\n        if not images",
    LAST: "return self.layers(images.mean(1, keepdim=True)) * (1 + noise / 9)",
    "import torch\n": "import numpy as np\nimport torch\n",
}  # fmt: skip


@pytest.mark.slow
def test_it_leaves_no_trace(newcomer, train_command, tiny, tmp_path, monkeypatch):
    """Not a digit of a training differs from one without the step."""
    text = MODEL
    for old, new in TRACES.items():
        assert old in text
        text = text.replace(old, new, 1)
    kept = "self.scale = scale"
    loss = LOSS.replace(kept, f'{kept}\n        self.add_class_weight("alpha", "dynamic")')
    weighted = '        targets = targets * self.class_weight_of("alpha", targets)'
    loss = loss.replace(CHECKED, f"{CHECKED}\n{weighted}")
    loss = loss.replace("scale: Scale = 1.0", 'alpha: str = "dynamic", scale: Scale = 1.0')
    newcomer(text, loss)
    # Without the class counts, the loss takes its weight from the first batch.
    monkeypatch.setattr(losses().get("slip_loss"), "set_class_statistics", lambda *_, **__: None)
    outcomes = []
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr("core.running.composition.try_step", lambda *_: None)
        ended = train_command(*overrides(tiny), f"experiment.results_dir={tmp_path / name}")
        assert ended.exit_code == 0, ended.errors
        (folder,) = (tmp_path / name).iterdir()
        outcomes.append(outcome(folder))
    assert outcomes[0]["loss"]["params"]["alpha_source"] == "first_batch"
    assert not differences(*outcomes)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the project in which one file of models and one of losses are broken."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("code", "config"):
        shutil.copytree(REPOSITORY / name, folder / name)
    (folder / "code/core/models/my_model.py").write_text(
        MODEL.replace("nn.Flatten(),", "nn.Fla ten")
    )
    (folder / "code/core/losses/my_loss.py").write_text("import nowhere\n" + LOSS)
    return folder


# Forks for each command from one process that has imported what takes seconds, and nothing that
# registers a component.
COMMANDS = """
import json, os, runpy, sys
sys.path.insert(0, "code")
import core.machine.torchvision_ops
import albumentations, hydra, pandas, sklearn.metrics, timm, torch._dynamo
for number, words in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv = ["code/train.py", *words]
        runpy.run_path("code/train.py", run_name="__main__")
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
ASKED_FOR = ["model.name=my_model", "loss.type=my_loss"]


@pytest.fixture(scope="module")
def ended(house, tiny) -> dict[str, Ended]:
    """How the trainings ended that ask for a broken file, and one that asks for none."""
    commands = [[*tiny, "training.num_epochs=1"]]
    commands += [[*tiny, c, f"experiment.results_dir={house / 'results'}"] for c in ASKED_FOR]
    words = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    forked = subprocess.run(words, cwd=house, capture_output=True, text=True, check=True)
    codes = map(int, forked.stdout.split())
    return {
        name: Ended(code, *((house / f"{number}.{end}").read_text() for end in ("out", "err")))
        for number, (name, code) in enumerate(zip(["none", *ASKED_FOR], codes, strict=True))
    }


@pytest.mark.slow
def test_a_broken_file_of_another_component(ended):
    """One warning line for each, and the training that did not ask for them completes."""
    assert ended["none"].exit_code == 0, ended["none"].errors
    printed = (ended["none"].output + ended["none"].errors).splitlines()
    for part in ("code/core/models/my_model.py, line", "code/core/losses/my_loss.py, line 1: "):
        assert len([line for line in printed if part in line]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ASKED_FOR)
def test_a_broken_file_that_is_asked_for(chosen, ended, house):
    assert ended[chosen].exit_code == 2
    (line,) = [line for line in ended[chosen].errors.splitlines() if line.startswith("error: ")]
    words = [chosen, f"{chosen.partition('=')[2]}.py, line", "correct this file"]
    assert all(word in line for word in words), line
    assert not (house / "results").exists()
