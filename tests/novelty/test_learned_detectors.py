"""What every detector that learns by gradient does, trained by the trainer's own step."""

import copy

import numpy as np
import pytest
import torch
from detector_jobs import SIZE, Striped, built, dataset_of, jobs, learner_of, trained
from several_processes import do_together

from core.errors import InputError
from core.novelty.bottlenecks import get_registry as bottlenecks
from core.novelty.detectors import get_registry
from core.pretraining.encoder import ENCODER_FILE, save_encoder
from core.training.epoch_progress import EpochProgress
from core.training.trainer import train_epoch

CODES = {"codebook_size": 8, "num_quantizers": 2}
AUTOENCODERS = [
    {"bottleneck": name, **({"bottleneck_options": CODES} if "rvq" in name else {})}
    for name in bottlenecks()
]
VARIANTS = [
    *(("autoencoder", params) for params in AUTOENCODERS),
    *((name, {}) for name in get_registry() if get_registry().get(name).learned_by_gradient),
]
every_detector = pytest.mark.parametrize(("name", "params"), VARIANTS)


def images(number: int = 4, channels: int = 1) -> torch.Tensor:
    strips = np.stack([Striped().read(row) for row in range(number)])
    return torch.from_numpy(strips)[:, None].repeat(1, channels, 1, 1)


@every_detector
def test_gradients_reach_every_parameter(name, params):
    detector = built(name, params)
    trained(detector, 1)  # residual blocks start as the identity
    batch = dataset_of(detector).__getitems__([0, 1, 2, 3])
    loss, terms = detector.create_loss()(detector.network(batch["image"]), batch["second_view"])
    loss.backward()
    assert torch.isfinite(torch.stack([loss, *terms.values()])).all()
    gradients = {key: each.grad for key, each in detector.network.named_parameters()}
    assert not [key for key, grad in gradients.items() if grad is None]
    assert all(torch.isfinite(grad).all() for grad in gradients.values())
    alive = [key for key, grad in gradients.items() if grad.abs().sum() > 0]
    assert len(alive) > 0.9 * len(gradients)


@every_detector
def test_two_epochs_change_the_network_and_are_recorded(name, params):
    detector = built(name, params)
    before = copy.deepcopy(detector.network.state_dict())
    learner, task = trained(detector, 2)
    after = detector.network.state_dict()
    assert not all(torch.equal(before[key], after[key]) for key in before)
    record, validation = task.loss_record(), task.validate(learner, iter, 2)
    assert record["loss_terms"].keys() <= validation.keys()
    assert task.criterion.figure in validation
    has_codes = "rvq" in params.get("bottleneck", "")
    assert (record.get("codes", {}).get("codes_used", 0) > 1) == has_codes
    assert ("codes" in task.tell(validation)) == has_codes
    assert validation["loss"] == pytest.approx(
        sum(value for key, value in validation.items() if key.endswith("_loss"))
    )


@every_detector
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_finite_and_of_each_image_alone(name, params, channels):
    detector = built(name, params, channels).eval()
    batch = images(channels=channels)
    with torch.no_grad():
        maps = detector(batch)
        alone = torch.cat([detector(batch[place : place + 1]) for place in range(4)])
    assert maps.dtype == torch.float32
    assert (maps.ndim, len(maps)) == (3, 4)
    assert torch.isfinite(maps).all()
    torch.testing.assert_close(alone, maps, rtol=1e-4, atol=1e-5)


@every_detector
def test_a_state_dict_restores_the_maps(name, params):
    detector = built(name, params)
    trained(detector, 1)
    torch.manual_seed(9)
    other = get_registry().instantiate(name, **{**params, **detector.rebuilt_by()})
    other.attach(1, SIZE)
    other.load_state_dict(copy.deepcopy(detector.state_dict()))
    with torch.no_grad():
        assert torch.equal(other.eval()(images()), detector.eval()(images()))


def test_codebooks_move_once_a_step_and_only_in_training():
    detector = built("autoencoder", {"bottleneck": "rvq", "bottleneck_options": CODES})
    learner, task = learner_of(detector, accumulation_steps=2)
    moved = []
    update = detector.network.bottleneck.after_optimizer_step
    detector.network.bottleneck.after_optimizer_step = lambda: moved.append(update())
    task.begin_epoch(1)
    train_epoch(learner, task, task.train_batches, EpochProgress(1, 0.0))
    assert len(moved) == 2
    before = copy.deepcopy(detector.network.state_dict())
    task.validate(learner, iter, 1)
    after = detector.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_views_are_the_same_for_input_and_target_and_change_with_the_epoch():
    dataset = dataset_of(built("autoencoder", {}))
    first = dataset.__getitems__([0, 1])
    assert torch.equal(first["image"], first["second_view"])
    dataset.set_epoch(1)
    assert not torch.equal(dataset.__getitems__([0, 1])["image"], first["image"])


@pytest.mark.slow
def test_the_trained_autoencoder_is_hottest_where_a_mark_is():
    detector = built("autoencoder", {"bottleneck": "vae", "latent_channels": 4})
    trained(detector, 12)
    marked = images(1)
    marked[0, 0, 10:18, 20:28] = 255 - marked[0, 0, 10:18, 20:28]
    with torch.no_grad():
        clean, found = detector.eval()(torch.cat([images(1), marked]))
    row, column = divmod(int((found - clean).argmax()), found.shape[1])
    assert 10 <= row * detector.stride + 2 < 18
    assert 20 <= column * detector.stride + 2 < 28
    assert found.max() > 1.5 * clean.max()


@every_detector
def test_an_output_that_is_not_finite_is_refused_in_one_line(name, params):
    learner, task = learner_of(built(name, params))
    last = list(learner.model.parameters())[-1]
    with torch.no_grad():
        last.fill_(float("nan"))
    with pytest.raises(InputError, match=r"^epoch 3: .*not finite.*lower training.learning_rate$"):
        task.validate(learner, iter, 3)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("autoencoder", {"bottleneck": "vqvae"}, r"unknown name 'vqvae'.*known names: dac_rvq"),
        ("autoencoder", {"bottleneck_options": {"colour": 1}}, r"bottleneck none: colour=1"),
        ("autoencoder", {"weights": {"kl": -1}}, r"detector: .*kl=-1"),
        ("autoencoder", {"reconstruction": "l3"}, r"reconstruction='l3'"),
        ("synthetic_defects", {"painting": {"clean": 1.5}}, r"detector\.painting: .*clean=1\.5"),
        ("synthetic_defects", {"painting": {"size": [0.4, 0.1]}}, r"size=\(0\.4, 0\.1\)"),
    ],
)
def test_impossible_parameters_are_refused_when_it_is_made(name, params, message):
    with pytest.raises(InputError, match=message):
        get_registry().instantiate(name, **params)


def test_painted_defects_go_on_from_a_pretrained_encoder(tmp_path):
    source = built("synthetic_defects", {}).network
    save_encoder(tmp_path, source, {"model": "resnet10_slim"}, ["mask_head.classifier."])
    torch.manual_seed(4)
    detector = get_registry().get("synthetic_defects", weights=str(tmp_path / ENCODER_FILE))
    detector.attach(1, SIZE)
    state, expected = detector.network.state_dict(), source.state_dict()
    same = [key for key, value in expected.items() if torch.equal(state[key], value)]
    assert set(expected) - set(same) == {"mask_head.classifier.weight"}
    assert detector.rebuilt_by() == {"pretrained": False, "weights": None}


@pytest.mark.slow
@pytest.mark.parametrize("params", AUTOENCODERS, ids=lambda params: params["bottleneck"])
def test_every_bottleneck_reconstructs_and_uses_its_codes(params):
    detector = built("autoencoder", {**params, "reconstruction": "l2"})
    learner, task = trained(detector, 24)
    found = task.validate(learner, iter, 24)
    strips = detector.network.scaled(images(16))
    error_of_mean = (strips - strips.mean()).square().mean().item()
    assert found["reconstruction_loss"] / 100 < error_of_mean / 2
    if "rvq" in params["bottleneck"]:
        assert found["codes_used"] > CODES["codebook_size"] / 2


@pytest.mark.slow
def test_two_processes_train_the_detector_of_one(compose, tiny, tmp_path):
    params, files = {"bottleneck": "none"}, [tmp_path / f"{number}.pt" for number in (1, 2)]
    for job in jobs(params, files[0]):
        job()
    do_together(compose(*tiny), 2, jobs(params, files[1]))
    one, two = (torch.load(file) for file in files)
    assert two["terms"] == pytest.approx(one["terms"], rel=1e-4)
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-2, atol=1e-4)
