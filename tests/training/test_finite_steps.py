"""A loss or gradient that is not finite stops the run and names the batch it came from."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from training_steps import train_epoch

from core.errors import InputError
from core.training.classification.objective import Objective
from core.training.classification.outputs import ModelOutputs, check_finite
from core.training.epoch_progress import CHECK_EVERY, EpochProgress, Step
from core.training.learner import Learner
from core.training.settings import TrainingSettings

CPU = torch.device("cpu")


def step(number: int, loss: float = 0.5, norm: float = 1.0) -> Step:
    images = [f"{number}_{i}.jpg" for i in (1, 2)]
    return Step(number, [images], 0.01, [torch.tensor(loss)], torch.tensor(norm))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "norm"])
def test_the_first_step_that_is_not_finite_is_named(bad, where):
    steps = EpochProgress(4, 0.01)
    steps.add(step(1))
    steps.add(step(2, **{where: bad}))
    steps.add(step(3, loss=math.nan))
    with pytest.raises(InputError) as caught:
        steps.check()
    message = str(caught.value)
    what = "loss" if where == "loss" else "gradient"
    assert message.startswith(f"epoch 4, step 2: the {what} became {bad} ")
    for words in ("2_1.jpg, 2_2.jpg", "learning rate 0.01", "gradient norm", "learning_rate"):
        assert words in message
    assert "3_1.jpg" not in message


def test_looks_are_rare_and_late_ones_still_name_the_first(monkeypatch):
    looks = []
    check = EpochProgress.check
    monkeypatch.setattr(EpochProgress, "check", lambda self: (looks.append(1), check(self)))
    steps = EpochProgress(1, 0.01)
    for number in range(1, CHECK_EVERY):
        steps.add(step(number, loss=math.nan if number == 7 else 0.5))
    assert not looks
    with pytest.raises(InputError, match=r"step 7: .*7_1\.jpg"):
        steps.add(step(CHECK_EVERY))


def test_many_images_are_counted():
    steps = EpochProgress(1, 0.01)
    names = [f"{i}.jpg" for i in range(40)]
    steps.add(Step(1, [names], 0.1, [torch.tensor(math.nan)], torch.tensor(1.0)))
    with pytest.raises(InputError, match=r"15\.jpg and 24 more"):
        steps.check()


def summed(losses: list[float], norm: float | None) -> Step:
    """Step of batches 5, 6, ... of one image each."""
    images = [[f"{5 + place}.jpg"] for place in range(len(losses))]
    gradient_norm = None if norm is None else torch.tensor(norm)
    return Step(5, images, 0.01, [torch.tensor(loss) for loss in losses], gradient_norm)


def test_of_several_batches_the_one_whose_loss_is_bad_is_named():
    steps = EpochProgress(1, 0.01)
    steps.add(summed([0.5, math.nan, 0.5], math.nan))
    with pytest.raises(InputError, match=r"step 6: the loss became nan .*images 6\.jpg\)"):
        steps.check()
    steps.add(summed([0.5, 0.25], math.inf))
    with pytest.raises(InputError, match=r"step 5: the gradient became inf .*5\.jpg, 6\.jpg\)"):
        steps.check()


def test_a_norm_that_is_not_watched_is_left_out():
    steps = EpochProgress(1, 0.01)
    steps.add(step(4))
    steps.add(summed([0.5, 0.25], None))
    steps.check()
    steps.add(summed([math.inf], None))
    with pytest.raises(InputError, match=r"step 5: the loss became inf \(loss inf, learning rate"):
        steps.check()


class Root(nn.Module):
    """Its gradient is infinite where a sum of pixels is 0, and its loss is not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sqrt((images.float().mean(dim=(1, 2, 3)) * self.scale.sum()).abs())[
            :, None
        ].expand(-1, 2)


def test_a_spoilt_gradient_names_its_own_batch_and_not_the_next():
    batches = [
        {"image": torch.full((2, 1, 3, 4), 9, dtype=torch.uint8), "labels": torch.ones(2, 2),
         "image_id": [f"{n}_{i}.jpg" for i in range(2)]}
        for n in range(3)
    ]  # fmt: skip
    settings = TrainingSettings(num_epochs=1, warmup_epochs=0)
    learner = Learner.create(
        Root(), Objective(nn.BCEWithLogitsLoss()), settings, steps_per_epoch=3, device=CPU
    )
    with pytest.raises(InputError, match=r"step 1: the gradient became nan .*0_0\.jpg, 0_1\.jpg"):
        train_epoch(learner, batches)


def test_the_validation_part_is_looked_at():
    logits = np.zeros((3, 2), np.float32)
    part = ModelOutputs(("a.jpg", "b.jpg", "c.jpg"), logits.copy(), logits, 0.5)
    check_finite(part, 2, 0.1)
    logits[1, 0] = np.nan
    with pytest.raises(InputError, match=r"epoch 2, validation: .*images b\.jpg\)"):
        check_finite(part, 2, 0.1)
