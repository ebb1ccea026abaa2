"""Codebooks that two processes train are equal, and equal to those of one process."""

import pytest
import torch
from codebook_jobs import jobs
from several_processes import do_together

NAMES = ["rvq", "dac_rvq"]
# Sums in another order; an assignment near a tie could differ by more.
ROUNDING = {"rtol": 1e-3, "atol": 1e-4}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def states(compose, tiny, tmp_path_factory):
    """The states of one process and of two, by the name of the bottleneck."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for job in jobs(NAMES, folders[0]):
        job()
    do_together(compose(*tiny), 2, jobs(NAMES, folders[1]))
    return {name: [torch.load(folder / f"{name}.pt") for folder in folders] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_the_codebooks_of_one(name, states):
    one, two = states[name]
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(
            two[key], value, **ROUNDING, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_codes_were_revived_meanwhile(name, states):
    for state in states[name]:
        choices = [value for key, value in state.items() if key.endswith("num_choices")]
        assert any(value > 1 for value in choices)
