"""What a frozen backbone makes of an image is computed once, and changes no figure."""

from collections import Counter

import pytest
import torch
from outcomes import read
from torch import Tensor, nn
from training_steps import batches, train_epoch

from core.running import composition
from core.training import frozen_features
from core.training.classification.objective import Objective
from core.training.frozen_features import FrozenFeatures
from core.training.learner import Learner
from core.training.settings import TrainingSettings

SIZES = [5, 4, 3]
IMAGES = batches(SIZES)


class Network(nn.Module):
    """A body with dropout and batch normalisation, which counts the images that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)
        self.computed: Counter[bytes] = Counter()

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def frozen_features(self, images: Tensor) -> tuple[Tensor, None] | None:
        trained = any(parameter.requires_grad for parameter in self.body.parameters())
        return None if trained else (self._features(images), None)

    def classify(self, features: Tensor, after_stage: int | None = None) -> Tensor:
        return self.head(features)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self._features(images))

    def _features(self, images: Tensor) -> Tensor:
        self.computed.update(image.numpy().tobytes() for image in images)
        return self.body(images.float() / 255).mean((2, 3))


def learner(features: FrozenFeatures | None, **values) -> Learner:
    torch.manual_seed(0)
    settings = {"num_epochs": 4, "learning_rate": 0.01, "warmup_epochs": 0, "head_epochs": 2}
    return Learner.create(
        Network(),
        Objective(nn.BCEWithLogitsLoss()),
        TrainingSettings(**{**settings, **values}),
        steps_per_epoch=len(SIZES),
        device=torch.device("cpu"),
        features=features,
    )


def epochs(trained: Learner, number: int) -> list[float]:
    return [train_epoch(trained, IMAGES)["loss"] for _ in range(number)]


@pytest.mark.parametrize("values", [{}, {"ema_decay": 0.5}, {"accumulation_steps": 2}], ids=str)
def test_each_image_is_computed_once_while_its_features_are_frozen(values):
    trained, plain = learner(FrozenFeatures(sum(SIZES)), **values), learner(None, **values)
    for each in (trained, plain):
        each.train_head_only(True)
    assert epochs(trained, 3) == pytest.approx(epochs(plain, 3), rel=1e-6)
    # As two of the same, once.
    assert set(trained.model.computed.values()) == {2}
    assert set(plain.model.computed.values()) == {3}
    for each in (trained, plain):
        each.train_head_only(False)
    torch.manual_seed(1)
    after = epochs(trained, 2)
    torch.manual_seed(1)
    assert after == pytest.approx(epochs(plain, 2), rel=1e-5)
    assert set(trained.model.computed.values()) == {4}


def test_features_do_not_depend_on_the_batch_or_on_the_mode_of_the_model():
    kept = FrozenFeatures(sum(SIZES))
    trained = learner(kept)
    trained.train_head_only(True)
    whole = IMAGES[0]
    first = trained.with_features(whole)["features"]
    kept.forget()
    trained.train()
    training = [module.training for module in trained.model.modules()]
    part = {key: value[2:] for key, value in whole.items()}
    assert torch.equal(trained.with_features(part)["features"], first[2:])
    assert torch.equal(trained.with_features(whole)["features"], first)
    assert [module.training for module in trained.model.modules()] == training
    assert not first.requires_grad


@pytest.mark.parametrize("fits", [True, False])
def test_nothing_is_kept_where_not_all_would_fit(fits, monkeypatch):
    needed = sum(SIZES) * 4 * torch.float32.itemsize
    monkeypatch.setattr(frozen_features, "LARGEST_BYTES", needed if fits else needed - 1)
    trained = learner(FrozenFeatures(sum(SIZES)))
    trained.train_head_only(True)
    assert ("features" in trained.with_features(IMAGES[0])) == fits


@pytest.mark.parametrize("missing", ["frozen_features", "head_phase"])
def test_batches_stay_as_they_are_where_nothing_is_frozen(missing, monkeypatch):
    if missing == "frozen_features":
        monkeypatch.delattr(Network, "frozen_features")
    trained = learner(FrozenFeatures(sum(SIZES)))
    trained.train_head_only(missing != "head_phase")
    assert trained.with_features(IMAGES[0]) is IMAGES[0]
    assert trained.model.computed == {}


PLAIN = ["augmentation=none", "model.pooling=average_max", "training.tested_epoch=last"]
# No batch holds a single image: torch computes those by other routines than any larger one.
PLAIN += ["data.batch_size=7"]
FROZEN = [*PLAIN, "model.freeze_backbone=true"]
HEAD_FIRST = [*PLAIN, "training.head_epochs=2", "training.ema_decay=0.9"]
FROZEN_STAGES = [*PLAIN, "model.freeze_stages=2", "training.ema_decay=0.9"]


@pytest.fixture
def computed(monkeypatch) -> Counter:
    """How often the features of an image were computed alone."""
    counts: Counter[str] = Counter()
    compute = FrozenFeatures._compute

    def count(self, image_id, *args):
        counts[image_id] += 1
        compute(self, image_id, *args)

    monkeypatch.setattr(FrozenFeatures, "_compute", count)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [FROZEN, FROZEN_STAGES, HEAD_FIRST, [*HEAD_FIRST, "runtime.precision=bfloat16"]],
    ids=str,
)
def test_figures_are_those_without_kept_features(
    more, train_command, with_dropout, tmp_path, computed, monkeypatch
):
    paths = []
    for name in ("kept", "plain"):
        where = tmp_path / name
        ended = train_command(*with_dropout, *more, f"experiment.results_dir={where}")
        assert ended.exit_code == 0, ended.errors
        assert ("features of each image once" in ended.output) == (name == "kept")
        paths += where.iterdir()
        monkeypatch.setattr(composition, "_features_of_unchanged", lambda *_: None)
    parts = read(paths[0])["data"]["split"]["parts"]
    assert len(computed) == parts["train"]["num_images"] + parts["validation"]["num_images"]
    # After the head phase, one image shows that the features are not frozen any more.
    assert sum(computed.values()) == len(computed) + ("training.head_epochs=2" in more)
    kept, plain = (read(path)["history"] for path in paths)
    for one, other in zip(kept, plain, strict=True):
        assert one["train"]["loss"] == other["train"]["loss"]
        assert one["validation"] == other["validation"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [{"steps": 3}, {"after_epoch": 2}, {"steps": 14}], ids=str)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(stop, resumed_exactly):
    resumed_exactly(*HEAD_FIRST, **stop)


@pytest.mark.slow
def test_resumed_with_frozen_stages_it_is_uninterrupted_bit_for_bit(resumed_exactly):
    resumed_exactly(*FROZEN_STAGES, steps=9)


def test_nothing_is_kept_of_images_that_change(compose, tiny, monkeypatch):
    kept = []
    for augmentation in ("none", "standard"):
        config = compose(*tiny, f"augmentation={augmentation}")
        data = composition.read_data(config.data)
        setup = composition.build(config, data, composition.choose_split(config, data))
        kept.append(setup.learner.features is not None)
    assert kept == [True, False]
