"""Learning to find painted defects, and what a training makes of the encoder and its mask head."""

import io
import json

import numpy as np
import pytest
import torch
from outcomes import plain
from pretraining_runs import SIZE, SMALL, composed, run_script, write_labelled, write_strips
from safetensors import safe_open

from core.errors import InputError
from core.models.registry import get_registry as models
from core.pretraining import composition
from core.pretraining.choosing import choose_strips
from core.pretraining.encoder import build_encoder
from core.pretraining.methods import get_registry
from core.pretraining.watching import watch_masks
from core.training.trainer import Trainer

NAME = "synthetic_defects"
MODEL = {"backbone": "test_resnet", "pretrained": False}
WIDTH = 8
WORDS = [f"method.name={NAME}", f"model.mask_head_width={WIDTH}", "method.contrast=[4,9]"]


@pytest.fixture(scope="module")
def strips(tmp_path_factory):
    return write_strips(tmp_path_factory.mktemp("strips"), range(26))


def pairs_of(strips, *words):
    config = composed(*WORDS, f"data.unlabelled={strips}", *words)
    setup = composition.build(config, choose_strips(config))
    return setup.task.train_batches.dataset, setup


def pretrained(strips, results_dir, *words):
    config = composed(*WORDS, f"data.unlabelled={strips}",
                      f"experiment.results_dir={results_dir}", *words)  # fmt: skip
    composition.pretrain(config)
    (path,) = results_dir.iterdir()
    return path


def method_and_encoder():
    torch.manual_seed(0)
    values = {"name": "timm", **MODEL, "mask_head_width": WIDTH}
    encoder = build_encoder(values, SIZE, mask_head=True)
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (6, 1, *SIZE), dtype=torch.uint8, generator=generator)
    masks = torch.zeros_like(images)
    masks[:3, :, 4:9, 10:20] = 1
    return get_registry().instantiate(NAME), encoder, images, masks


def test_pairs_depend_on_seed_epoch_and_strip_alone(strips):
    dataset, _ = pairs_of(strips)
    again, _ = pairs_of(strips)
    other, _ = pairs_of(strips, "experiment.seed=7")
    rows = dataset.rows
    one, same = dataset.__getitems__([3, 1]), again.__getitems__([1, 2, 3])
    assert torch.equal(one["image"][0], same["image"][2])
    assert torch.equal(one["second_view"][1], same["second_view"][0])
    dataset.set_epoch(1)
    assert not torch.equal(dataset.__getitems__([3])["image"], one["image"][:1])
    assert not np.array_equal(other.pair(rows[3])[0], again.pair(rows[3])[0])


def test_the_mask_says_what_was_painted(strips):
    dataset, _ = pairs_of(strips, "views.gain=0", "views.offset=0", "views.horizontal_flip=0",
                          "views.vertical_flip=0", "method.clean=0")  # fmt: skip
    changed = 0
    for row in dataset.rows:
        image, mask = dataset.pair(row)
        strip = dataset.strips.images.read(int(row))
        assert np.array_equal(image[mask == 0], strip[mask == 0])
        changed += (image != strip).any()
    assert changed > len(dataset) / 2


def test_pieces_are_of_strips_that_are_learned_from(strips):
    dataset, setup = pairs_of(strips)
    assert np.array_equal(dataset.views.rows, setup.chosen.train)
    assert np.array_equal(setup.task.watched.dataset.views.rows, setup.chosen.train)


def test_the_loss_is_finite_and_reaches_every_parameter():
    method, encoder, images, masks = method_and_encoder()
    logits, targets = method.encode(encoder, images, masks)
    loss, _ = method(logits, targets.float(), torch.arange(6))
    loss.backward()
    assert targets.shape == logits.shape
    assert torch.isfinite(loss)
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert encoder.mask_head.classifier.weight.grad.abs().sum() > 0


def test_order_of_the_batch_does_not_matter_and_bfloat16_is_near():
    method, encoder, images, masks = method_and_encoder()
    order, ids = torch.tensor([3, 0, 5, 1, 4, 2]), torch.arange(6)
    logits, targets = method.encode(encoder.eval(), images, masks)
    expected = method(logits, targets.float(), ids)[0]
    found = method(logits[order], targets[order].float(), ids)[0]
    torch.testing.assert_close(found, expected)
    near = method(logits.bfloat16().float(), targets.float(), ids)[0]
    torch.testing.assert_close(near, expected, rtol=0.05, atol=0.05)


def test_its_state_is_that_of_a_copy():
    method, stream = get_registry().instantiate(NAME), io.BytesIO()
    torch.save(method.state_dict(), stream)
    stream.seek(0)
    get_registry().instantiate(NAME).load_state_dict(torch.load(stream, weights_only=True))
    assert not list(method.parameters())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": [0.4, 0.1]}, r"method\.size=\(0\.4, 0\.1\): expected least and most"),
        ({"cut_paste": 0, "poisson_patches": 0, "perlin_texture": 0}, "one of them above 0"),
        ({"clean": 1.5}, "clean=1.5"),
        ({"colour": 1}, "unknown key"),
    ],
)
def test_impossible_parameters_are_refused(params, message):
    with pytest.raises(InputError, match=message):
        get_registry().get(NAME, **params)


def test_figures_of_masks():
    masks = np.zeros((4, 1, 2, 3))
    masks[0, 0, 0, 0] = masks[1, 0, 1, 2] = 1
    perfect = watch_masks(masks.astype(float), masks)
    assert (perfect["pixel_average_precision"], perfect["strip_average_precision"]) == (1, 1)
    assert perfect["painted_share"] == pytest.approx(2 / 24)
    assert perfect["painted_strip_share"] == 2 / 4
    chance = watch_masks(np.zeros(masks.shape), masks)
    assert chance["strip_average_precision"] == chance["painted_strip_share"]
    assert not perfect["collapsed"]
    assert watch_masks(np.zeros(masks.shape), masks)["collapsed"]
    assert watch_masks(np.zeros(masks.shape), 0 * masks)["pixel_average_precision"] is None


@pytest.mark.slow
def test_painted_defects_are_learned(strips, tmp_path):
    path = pretrained(strips, tmp_path, "training.num_epochs=25", "method.clean=0.3")
    results = json.loads((path / "results.json").read_text())
    first, last = (results["history"][i]["validation"] for i in (0, -1))
    assert last["loss"] < 0.9 * first["loss"]
    assert results["test"]["pixel_average_precision"] > 3 * results["test"]["painted_share"]
    assert not results["collapsed"]
    assert (path / "painted_strips.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_classifier_takes_the_encoder_with_its_mask_head_or_without(strips, tmp_path, caplog):
    file = str(pretrained(strips, tmp_path, "training.num_epochs=1") / "encoder.safetensors")
    assert "model.mask_head=true" in (next(tmp_path.iterdir()) / "ENCODER_CARD.md").read_text()
    with safe_open(file, "pt") as tensors:
        kept = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
    of_head = {key for key in kept if key.startswith("mask_head.")}
    assert of_head
    assert not any("classifier" in key or "log_odds" in key for key in of_head)
    model = models().get("timm", **MODEL, weights=file, mask_head=True, mask_head_width=WIDTH)
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in kept.items())
    model.mask_head.set_pixel_shares([0.1] * 4)
    assert torch.allclose(model.mask_head.classifier.bias.sigmoid(), torch.tensor(0.1))
    with caplog.at_level("INFO"):
        state = models().get("timm", **MODEL, weights=file).state_dict()
    assert all(torch.equal(state[key], kept[key]) for key in kept.keys() - of_head)
    assert "its mask_head stayed in the file: the model has none" in caplog.text
    with pytest.raises(InputError, match="of another shape"):
        models().get("timm", **MODEL, weights=file, mask_head=True, mask_head_width=2 * WIDTH)


def test_the_mask_head_is_thrown_away_if_wanted(strips, tmp_path):
    words = ("training.num_epochs=1", "method.keep_head=false")
    path = pretrained(strips, tmp_path, *words)
    with safe_open(path / "encoder.safetensors", "pt") as tensors:
        assert not any(key.startswith("mask_head.") for key in tensors.keys())  # noqa: SIM118
    models().get("timm", **MODEL, weights=str(path / "encoder.safetensors"), mask_head=True)


def test_a_whole_model_brings_its_trained_mask_head(tmp_path):
    own = models().get("timm", **MODEL, mask_head=True)
    torch.save(own.state_dict(), tmp_path / "model.pt")
    file = str(tmp_path / "model.pt")
    model = models().get("timm", **MODEL, mask_head=True, weights=file)
    model.mask_head.set_pixel_shares([0.3] * 4)
    for key, value in own.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.slow
def test_labelled_strips_are_probed_and_choose_the_epoch(tmp_path):
    data = write_labelled(tmp_path / "data")
    config = composed(*WORDS, f"data.root={data}", "training.probe_every=1",
                      f"experiment.results_dir={tmp_path / 'results'}")  # fmt: skip
    results = composition.pretrain(config)
    probed = [each["validation"]["probe_average_precision"] for each in results["history"]]
    assert probed[results["best_epoch"] - 1] == max(probed)


@pytest.mark.slow
def test_it_resumes_within_an_epoch_bit_for_bit(strips, tmp_path, monkeypatch):
    words = [*SMALL, *WORDS, f"data.unlabelled={strips}"]
    assert run_script(monkeypatch, *words, f"experiment.results_dir={tmp_path / 'whole'}") == 0
    after_step = Trainer._after_step

    def asked(self, progress):
        self.interruption.requested |= self.learner.num_updates == 6
        after_step(self, progress)

    results_dir = f"experiment.results_dir={tmp_path / 'stopped'}"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_after_step", asked)
        assert run_script(monkeypatch, *words, results_dir) == 130
    assert run_script(monkeypatch, "resume=latest", results_dir) == 0
    states = []
    for name in ("whole", "stopped"):
        (path,) = (tmp_path / name).iterdir()
        last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
        states.append(plain({key: last[key] for key in ("model", "optimizer")}))
    assert states[0] == states[1]
