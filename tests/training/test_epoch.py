"""One epoch: updates, the figures it reports, seeding."""

import pytest
import torch
from torch import nn
from training_steps import batches, train_epoch

from core.training.classification.objective import Objective, logits_of
from core.training.classification.outputs import predict
from core.training.epoch_progress import EpochProgress
from core.training.learner import Learner
from core.training.seeding import seed_everything
from core.training.settings import TrainingSettings

CPU = torch.device("cpu")


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(images.float().mean(dim=(1, 2)))}


class Scaled(nn.Module):
    """A loss with a parameter, whose gradient is much larger than those of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1e-3))

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.scale * nn.functional.binary_cross_entropy_with_logits(logits, targets)


def learner(rate: float = 1e-3, loss: nn.Module | None = None, **more: bool) -> Learner:
    seed_everything(0)
    settings = TrainingSettings(learning_rate=rate, num_epochs=4, warmup_epochs=0)
    objective = Objective(loss or nn.BCEWithLogitsLoss())
    return Learner.create(Linear(), objective, settings, steps_per_epoch=3, device=CPU, **more)


def test_loss_is_the_mean_over_images_whatever_the_batches():
    frozen = learner(rate=1e-12)
    data = batches([3, 3, 1])
    expected = predict(frozen.model, frozen.objective, data, CPU).loss
    report = train_epoch(frozen, data)
    assert report["loss"] == pytest.approx(expected, rel=1e-5)
    assert frozen.num_updates == 3
    assert 0 <= report["data_wait_share"] <= 1
    assert report["images_per_second"] * report["duration_seconds"] == pytest.approx(7)


def test_training_lowers_the_loss():
    trained = learner(rate=5e-2)
    data = batches([4, 4, 4])
    losses = [train_epoch(trained, data)["loss"] for _ in range(4)]
    assert losses[-1] < losses[0]


def norms_after_clipping(clipped: Learner, largest: float) -> tuple[float, float]:
    """The gradient norms of the model and of the objective, as the optimizer takes its step."""
    clipped.gradient_clip_norm, seen = largest, []
    parts = (clipped.model, clipped.objective)
    clipped.optimizer.register_step_pre_hook(
        lambda *_: seen.extend(
            nn.utils.get_total_norm([p.grad for p in part.parameters()]).item() for part in parts
        )
    )
    train_epoch(clipped, batches([4]))
    return tuple(seen)


def test_gradients_are_clipped_to_the_norm():
    assert norms_after_clipping(learner(), 1e-6) == (pytest.approx(1e-6, rel=0.01), 0)


def test_an_objective_is_clipped_with_the_model_if_wanted_and_left_out_otherwise():
    model, loss = norms_after_clipping(learner(loss=Scaled(), clips_objective=True), 1e-2)
    assert (model**2 + loss**2) ** 0.5 == pytest.approx(1e-2, rel=1e-3)
    assert loss > 10 * model > 0
    _, loss = norms_after_clipping(learner(loss=Scaled()), 1e-2)
    assert loss > 1e-1


def test_waiting_is_time_spent_in_the_loader(monkeypatch):
    begun = EpochProgress(1, 0.1)
    clock = iter(range(100))
    monkeypatch.setattr("core.training.epoch_progress.time.perf_counter", lambda: next(clock))
    assert list(begun.grouped("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert begun.waiting_seconds == 4


def test_prediction_keeps_order_and_is_in_evaluation_mode():
    model = learner().model
    data = batches([3, 2])
    part = predict(model, Objective(nn.BCEWithLogitsLoss()), data, CPU)
    assert part.image_ids == ("3_0.jpg", "3_1.jpg", "3_2.jpg", "2_0.jpg", "2_1.jpg")
    assert part.labels.shape == part.logits.shape == (5, 2)
    expected = logits_of(model(data[1]["image"])).sigmoid().detach().numpy()
    assert part.probabilities[3:] == pytest.approx(expected, abs=1e-7)
    assert not model.training


def test_random_numbers_are_a_function_of_seed_and_epoch():
    def draw(seed: int, epoch: int) -> list[float]:
        seed_everything(seed, epoch)
        return torch.rand(3).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert draw(1, 2) != draw(1, 3)
    assert draw(1, 2) != draw(2, 2)
