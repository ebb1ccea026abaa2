"""Two processes that share batches learn what one learns, though losses compare whole batches."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from pretraining_runs import compare_losses, composed, pretrain_one, write_labelled
from several_processes import do_together

from core.pretraining.composition import pretrain
from core.pretraining.methods import get_registry

pytestmark = pytest.mark.slow

# 28 images in batches of 5: shares of 3 and 2, and at last 2 and 1.
SHARED = [
    "data.batch_size=5",
    "training.num_epochs=1",
    "training.optimizer=sgd",
    "training.learning_rate=0.05",
    "training.warmup_epochs=0",
    "training.accumulation_steps=2",
]
MORE = {"moco": ["method.queue_size=10", "method.momentum=0.5"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, list[Path]]:
    """By method, what one process and two made of the same config."""
    where = tmp_path_factory.mktemp("devices")
    data = write_labelled(where / "data")

    def config(name: str, devices: int):
        place = f"experiment.results_dir={where / name / str(devices)}"
        words = [f"method.name={name}", f"data.root={data}", place, *SHARED, *MORE.get(name, [])]
        return composed(*words)

    names = get_registry().list()
    jobs = [compare_losses, *(partial(pretrain_one, config(n, 2)) for n in names)]
    do_together(config(names[0], 2), 2, jobs)
    for name in names:
        pretrain(config(name, 1))
    return {n: [next((where / n / d).iterdir()) for d in ("1", "2")] for n in names}


@pytest.mark.parametrize("name", get_registry().list())
def test_two_processes_learn_what_one_learns(name, folders):
    one, two = folders[name]
    results = [json.loads((path / "results.json").read_text()) for path in (one, two)]
    assert [each["computation"]["devices"] for each in results] == [1, 2]
    losses = [each["history"][0]["train"]["loss"] for each in results]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    states = [torch.load(path / "checkpoints" / "last.pt") for path in (one, two)]
    # Two processes take the same sums in another order, so only rounding may tell them apart.
    for part in ("model", "objective"):
        found, expected = (_tensors(state[part]) for state in states[::-1])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def _tensors(state: dict) -> dict[str, torch.Tensor]:
    """Without what the loss of masks also keeps, which is text."""
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
