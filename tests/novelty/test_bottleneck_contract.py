"""What every registered bottleneck does, alone and within the autoencoder."""

import copy

import pytest
import torch

from core.errors import InputError
from core.novelty.autoencoder import Autoencoder
from core.novelty.bottleneck_losses import AutoencoderLoss
from core.novelty.bottlenecks import get_registry

pytestmark = pytest.mark.parametrize("name", get_registry())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def features(batch=3):
    return torch.randn(batch, 6, 5, 7, generator=torch.Generator().manual_seed(1))


def images(batch=3, channels=1):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(batch, channels, 32, 40, generator=generator)


def trained(name, **options):
    """A bottleneck after two steps of training, in evaluation mode."""
    bottleneck = get_registry().get(name, channels=6, **options)
    for _ in range(2):
        bottleneck(features())
        bottleneck.after_optimizer_step()
    return bottleneck.eval()


def test_puts_out_finite_features_of_the_same_shape(name):
    for mode in (True, False):
        output = trained(name).train(mode)(features())
        assert output["latent"].shape == features().shape
        assert all(torch.isfinite(value).all() for value in output.values())


def test_says_which_terms_it_has_and_puts_them_out(name):
    bottleneck = trained(name)
    output = bottleneck(features())
    images_in_output = {**output, "reconstruction": images()}
    total, terms = AutoencoderLoss(bottleneck)(images_in_output, images())
    assert torch.isfinite(total)
    assert len(terms) == 1 + len(bottleneck.losses)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_reach_every_parameter_and_are_finite(name, channels):
    model = Autoencoder(name, image_channels=channels)
    batch = images(channels=channels)
    total, _ = AutoencoderLoss(model.bottleneck)(model(batch), batch)
    total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    for part in (model.encoder, model.decoder):
        assert all(parameter.grad.any() for parameter in part.parameters())


@pytest.mark.slow
def test_learns(name):
    model, batch = Autoencoder(name), images()
    loss = AutoencoderLoss(model.bottleneck, {"reconstruction": {"type": "l2"}})
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.bottleneck.follow(optimizer)
    errors = []
    for _ in range(25):
        total, terms = loss(model(batch), batch)
        errors.append(terms["reconstruction_loss"].item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert errors[-1] < 0.9 * errors[0]


def test_bfloat16_autocast_is_finite_and_leaves_the_bottleneck_precise(name):
    model, batch = Autoencoder(name), images()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
    total, _ = AutoencoderLoss(model.bottleneck)(output, batch)
    total.backward()
    assert output["latent"].dtype == torch.float32
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_state_dict_round_trip_gives_the_same_output_and_the_same_training(name):
    bottleneck = trained(name)
    other = get_registry().get(name, channels=6)
    other.load_state_dict(copy.deepcopy(bottleneck.state_dict()))
    outputs = []
    for each in (bottleneck.eval(), other.eval()):
        outputs.append([each(features())["latent"]])
        each.train()
        generator = torch.Generator().manual_seed(4)
        for _ in range(30):  # long enough for codes to be revived
            output = each(2 * features(), generator)
            each.after_optimizer_step()
        outputs[-1].append(output["latent"])
    for one, two in zip(*outputs, strict=True):
        assert torch.equal(one, two)
    for key, value in bottleneck.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_evaluation_is_deterministic_and_changes_nothing(name):
    bottleneck = trained(name)
    before = copy.deepcopy(bottleneck.state_dict())
    random_state = torch.get_rng_state()
    first, second = bottleneck(features()), bottleneck(features())
    bottleneck.after_optimizer_step()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert all(torch.equal(before[key], value) for key, value in bottleneck.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())


def test_randomness_comes_from_the_generator_alone(name):
    bottleneck = trained(name).train()
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        outputs.append(bottleneck(features(), torch.Generator().manual_seed(5)))
        assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(outputs[0][key], outputs[1][key]) for key in outputs[0])


def test_an_image_has_the_same_latent_alone_and_in_any_order(name):
    bottleneck = trained(name)
    whole = bottleneck(features())["latent"]
    turned = bottleneck(features().flip(0))["latent"]
    torch.testing.assert_close(turned.flip(0), whole)
    torch.testing.assert_close(bottleneck(features()[:1])["latent"], whole[:1])


def test_a_batch_of_one_trains(name):
    model = Autoencoder(name, bottleneck_options=None)
    total, _ = AutoencoderLoss(model.bottleneck)(model(images(1)), images(1))
    total.backward()
    model.bottleneck.after_optimizer_step()
    assert torch.isfinite(total)


def test_a_copy_can_be_made_between_two_steps(name):
    bottleneck = trained(name).train()
    bottleneck(features().requires_grad_())
    copy.deepcopy(bottleneck)


class Latent(torch.nn.Module):
    """What the decoder takes, alone: the only output that an exported program needs."""

    def __init__(self, bottleneck):
        super().__init__()
        self.bottleneck = bottleneck

    def forward(self, inputs):
        return self.bottleneck(inputs)["latent"]


@pytest.mark.slow
def test_an_exported_program_takes_any_batch(name):
    latent = Latent(trained(name))
    batch = torch.export.Dim("batch")
    program = torch.export.export(latent, (features(),), dynamic_shapes=({0: batch},))
    torch.testing.assert_close(program.module()(features(5)), latent(features(5)))


def test_refuses_other_features_and_unknown_options(name):
    with pytest.raises(ValueError, match=r"expected \(batch, 6, height, width\)"):
        trained(name)(torch.zeros(2, 5, 4, 4))
    with pytest.raises(InputError, match=f"bottleneck {name}: colour=1: unknown key"):
        get_registry().get(name, channels=6, colour=1)
