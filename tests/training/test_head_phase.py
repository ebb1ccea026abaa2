"""The first epochs of a training may train the head alone; then all is trained."""

import copy

import pytest
import torch
from conftest import BFLOAT16
from outcomes import read
from torch import Tensor, nn
from training_steps import batches, train_epoch

from core.errors import InputError
from core.training.callbacks import EarlyStopping
from core.training.classification.objective import Objective
from core.training.learner import Learner
from core.training.optimization import create_optimizer, create_scheduler
from core.training.settings import TrainingSettings

CPU = torch.device("cpu")
SHORT = {"num_epochs": 4, "learning_rate": 0.01, "warmup_epochs": 0, "head_epochs": 2}


class Network(nn.Module):
    """Batch normalisation and dropout below the head, and a layer that the model itself freezes."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(1, 3, 1).requires_grad_(False)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def group_matcher(self, coarse: bool = False):
        return lambda name: ["frozen", "body", "head"].index(name.partition(".")[0])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(self.frozen(images.float() / 255)).mean((2, 3)))


def learner(model: nn.Module | None = None, **values) -> Learner:
    torch.manual_seed(0)
    return Learner.create(
        model or Network(),
        Objective(nn.BCEWithLogitsLoss()),
        TrainingSettings(**{**SHORT, **values}),
        steps_per_epoch=3,
        device=CPU,
    )


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def moved(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    """The parts of the network of which any number changed."""
    changed = (key for key, value in model.state_dict().items() if not value.equal(before[key]))
    return {key.partition(".")[0] for key in changed}


@pytest.mark.parametrize(
    "values",
    [
        {"weight_decay": 0.5},
        {"optimizer": "sgd", "accumulation_steps": 2, "gradient_clip_norm": None},
        {"optimizer": "lamb", "layer_decay": 0.5},
        {"optimizer": "lion", "ema_decay": 0.5},
        {"optimizer": "adopt", "layer_decay": 0.8, "ema_decay": 0.9},
    ],
)
def test_the_head_moves_alone_and_then_everything_that_the_model_does_not_freeze(values):
    trained = learner(**values)
    before = state(trained.model)
    trained.train_head_only(True)
    train_epoch(trained, batches([4, 4, 3]))
    assert moved(before, trained.model) == {"head"}
    assert moved(before, trained.evaluated_model) == {"head"}
    trained.train_head_only(False)
    after_head = state(trained.model)
    for _ in range(3):
        train_epoch(trained, batches([4, 4, 3]))
    assert moved(after_head, trained.model) == {"body", "head"}
    assert moved(after_head, trained.evaluated_model) == {"body", "head"}


def test_frozen_parts_drop_nothing_while_the_head_trains():
    trained = learner()
    images = batches([4])[0]["image"]
    trained.train_head_only(True)
    trained.train()
    assert trained.model.training
    assert torch.equal(trained.model(images), trained.model(images))
    trained.train_head_only(False)
    trained.train()
    assert not torch.equal(trained.model(images), trained.model(images))


def rates(settings: TrainingSettings) -> list[list[float]]:
    """The rate of each group of parameters at each update, three to an epoch."""
    optimizer = create_optimizer(Network(), nn.Module(), settings)
    scheduler = create_scheduler(optimizer, settings, 3)
    found = []
    for step in range(1, 3 * settings.num_epochs + 1):
        found.append([group["lr"] for group in optimizer.param_groups])
        scheduler.step_update(step)
    return found


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_the_head_trains_at_the_peak_and_the_rest_of_the_schedule_follows(layer_decay):
    values = {"learning_rate": 0.01, "warmup_epochs": 2, "layer_decay": layer_decay}
    found = rates(TrainingSettings(num_epochs=9, head_epochs=3, **values))
    assert {max(each) for each in found[:9]} == {0.01}
    assert found[9:] == rates(TrainingSettings(num_epochs=6, **values))


def test_learner_follows_that_schedule_through_a_checkpoint():
    trained = learner(warmup_epochs=1)
    trained.train_head_only(True)
    assert trained.learning_rate == 0.01
    train_epoch(trained, batches([4, 4, 3]))
    restored = learner(warmup_epochs=1)
    restored.load_state_dict(copy.deepcopy(trained.state_dict()))
    assert restored.learning_rate == trained.learning_rate == 0.01
    restored.train_head_only(True)
    train_epoch(restored, batches([4, 4, 3]))
    assert restored.learning_rate == pytest.approx(0.0001)


def test_a_model_that_does_not_know_its_head_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    said = r"training\.head_epochs=2: Sequential has no head_parameters: use 0, or another model"
    with pytest.raises(InputError, match=said):
        learner(model)
    assert not learner(model, head_epochs=0).waiting


def test_a_head_that_trains_alone_anyway_is_refused():
    model = Network()
    model.body.requires_grad_(False)
    said = r"training\.head_epochs=2: the head trains alone anyway: use 0, or freeze less"
    with pytest.raises(InputError, match=said):
        learner(model)


def test_more_epochs_of_the_head_than_epochs_are_refused(compose, tiny):
    said = r"training\.head_epochs=3: expected at most training\.num_epochs=2"
    with pytest.raises(InputError, match=said):
        compose(*tiny, "training.head_epochs=3")
    assert compose(*tiny, "training.head_epochs=2").training.head_epochs == 2


def test_early_stopping_counts_from_the_end_of_the_head_phase():
    callback = EarlyStopping(patience=2, head_epochs=4)
    stops = [callback.on_epoch_end({"epoch": epoch}, 1) for epoch in range(1, 7)]
    assert stops == [False] * 5 + [True]
    assert not callback.on_resume([{"epoch": 5}], 1)
    assert not callback.on_epoch_end({"epoch": 6}, 5)


HEAD_AND_MASKS = [
    "model.mask_head=true",
    "model.mask_head_width=8",
    "mask_loss.type=tversky_loss",
]
HEAD_FIRST = ["training.head_epochs=1", "training.ema_decay=0.9", "training.layer_decay=0.8"]


@pytest.mark.slow
def test_the_history_says_what_was_trained(uninterrupted):
    history = read(uninterrupted(*HEAD_FIRST))["history"]
    assert [record["phase"] for record in history] == ["head", "all", "all"]
    assert history[0]["learning_rate"] == 0.01
    assert history[1]["learning_rate"] == pytest.approx(0.0001)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop", [{"steps": 3}, {"after_epoch": 1}, {"steps": 9}, {"after_epoch": 2}], ids=str
)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(stop, resumed_exactly):
    resumed_exactly(*HEAD_FIRST, **stop)


FROZEN = "model.freeze_backbone=true"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("waits", "more"),
    [
        ("backbone.layer4", ["model.freeze_stages=2", "training.gradient_checkpointing=true"]),
        ("backbone.layer4", [*HEAD_AND_MASKS, "training.accumulation_steps=3"]),
        ("attention", ["model.backbone=test_convnext", "model.cbam_stages=[3,4]", FROZEN]),
        ("backbone.stages", BFLOAT16),
    ],
    ids=["freeze_stages", "masks", "freeze_backbone", "bfloat16"],
)
def test_what_waits_is_trained_afterwards(waits, more, completed, tiny):
    path = completed(*tiny, *more, "training.head_epochs=1", "training.checkpoint_every_n_epochs=1")
    kept = [torch.load(path / "checkpoints" / f"epoch_000{epoch}.pt") for epoch in (1, 2)]
    weights, later = (checkpoint["model"] for checkpoint in kept)
    changed = {key for key, value in later.items() if not value.equal(weights[key])}
    assert any(key.startswith(waits) for key in changed)
    states = [len(checkpoint["optimizer"]["state"]) for checkpoint in kept]
    assert 0 < states[0] < states[1]
    if FROZEN in more:
        assert {key.partition(".")[0] for key in changed} == {"attention", "backbone"}
        assert all(".head." in key for key in changed if key.startswith("backbone."))
