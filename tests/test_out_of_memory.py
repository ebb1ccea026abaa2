"""The largest batch that fits, found on a device whose memory is a number."""

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from core.errors import InputError
from core.running import out_of_memory
from core.running.out_of_memory import largest_that, settle_batch_size


@pytest.mark.parametrize("most", [1, 2, 7, 64])
def test_the_largest_is_found_in_few_trials(most):
    for limit in range(most + 3):
        tried = []
        found = largest_that(
            lambda n, tried=tried, limit=limit: tried.append(n) or n <= limit, most
        )
        assert found == min(limit, most)
        assert len(tried) <= 14
        assert max(tried, default=0) <= most


@dataclass
class Device:
    """Holds `room` images; tells what was built and tried."""

    room: int
    built: list[tuple[int, int]] = field(default_factory=list)
    stepped: list[int] = field(default_factory=list)

    def build(self, config):
        size = config.data.batch_size
        self.built.append((size, config.data.num_workers))
        return SimpleNamespace(
            split={"train": range(100)},
            task=SimpleNamespace(train_batches=[size]),
            learner=SimpleNamespace(model=torch.nn.Identity()),
        )

    def update(self, learner, task, group):
        self.stepped += group
        if group[0] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def settled(compose, tiny, monkeypatch):
    def run(device: Device, *overrides: str):
        monkeypatch.setattr(out_of_memory, "choose_device", lambda *_: torch.device("cuda"))
        monkeypatch.setattr(out_of_memory, "update", device.update)
        config = compose(*tiny, "data.batch_size=auto", *overrides)
        return settle_batch_size(config, device.build)

    return run


@pytest.mark.parametrize(("room", "expected"), [(1, 1), (13, 13), (32, 30), (1000, 94)])
def test_a_sixteenth_is_left_free(settled, room, expected):
    device = Device(room)
    config = settled(device, "data.num_workers=2")
    assert config.data.batch_size == expected
    assert config.data.num_workers == 2
    assert {workers for _, workers in device.built} == {0}
    # The optimizer's state is there from the second step on.
    assert Counter(device.stepped) == {size: 2 if size <= room else 1 for size, _ in device.built}


def test_not_even_one_image(settled):
    with pytest.raises(InputError, match=r"out of memory on cuda with data\.batch_size=1.*smaller"):
        settled(Device(0))


def test_other_errors_are_not_taken_for_it(settled):
    device = Device(5)
    device.update = lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        settled(device)


def test_a_number_is_left_alone(compose, tiny):
    config = compose(*tiny)
    assert settle_batch_size(config, None) is config
