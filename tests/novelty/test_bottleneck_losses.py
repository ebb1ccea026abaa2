"""The loss of an autoencoder: its config, the factory, and the reconstruction's error."""

import math

import pytest
import torch
from torch import nn

from core.errors import InputError
from core.novelty.bottleneck_losses import (
    AutoencoderLoss,
    ReconstructionLoss,
    ValueLoss,
    create_loss_modules_from_bottleneck,
)
from core.novelty.bottlenecks import Bottleneck, get_registry

KL, QUANTIZER = ("kl", 1e-6, "kl_loss"), ("quantizer_loss", 1.0, "quantizer_loss")
CODEBOOK = ("vq/codebook_loss", 1.0, "codebook_loss")
COMMITMENT = ("vq/commitment_loss", 0.25, "commitment_loss")
MMD = ("mmd", 100.0, "mmd_loss")
TABLE = {
    "none": [],
    "vae": [KL],
    "rvq": [QUANTIZER],
    "rvq_vae": [KL, QUANTIZER],
    "dac_rvq": [CODEBOOK, COMMITMENT],
    "dac_rvq_vae": [KL, CODEBOOK, COMMITMENT],
    "wasserstein": [MMD],
}
GIVEN = {"kl": 1e-4, "mmd": 50.0}


def build(name):
    return get_registry().get(name, channels=4)


def rows_of(losses):
    return [(loss.key, loss.weight, loss.name) for loss in losses]


def test_the_table_has_every_bottleneck():
    assert set(TABLE) == set(get_registry())


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("weights", [None, GIVEN])
def test_terms_and_weights_of_each_bottleneck(name, weights):
    config = weights and {"bottleneck": {"weights": weights}}
    losses = create_loss_modules_from_bottleneck(build(name), config)
    expected = [(key, (weights or {}).get(key, weight), term) for key, weight, term in TABLE[name]]
    assert rows_of(losses) == expected
    assert losses.get_total_weight() == pytest.approx(sum(row[1] for row in expected))
    for loss in losses:
        assert losses.get_loss_by_name(loss.name) is loss


def test_every_weight_can_be_given_and_none_is_the_default():
    weights = {"codebook": 2, "commitment": 0, "kl": None}
    losses = create_loss_modules_from_bottleneck(
        build("dac_rvq_vae"), {"bottleneck": {"weights": weights}}
    )
    assert [loss.weight for loss in losses] == [1e-6, 2.0, 0.0]


def test_a_name_that_is_not_there_is_an_error():
    losses = create_loss_modules_from_bottleneck(build("vae"))
    with pytest.raises(InputError, match="no loss 'mmd_loss': there are: kl_loss"):
        losses.get_loss_by_name("mmd_loss")


class SoftNormBottleneck(Bottleneck):
    """One that does not say which terms it has."""

    def compress(self, features, generator):
        return {"latent": features}


class MisspeltBottleneck(SoftNormBottleneck):
    losses = ("kll",)


@pytest.mark.parametrize("bottleneck", [SoftNormBottleneck(4), nn.Identity(), "vae", None])
def test_an_unsupported_bottleneck_is_an_error(bottleneck):
    kind = type(bottleneck).__name__
    with pytest.raises(InputError, match=f"bottleneck {kind}: .*expected one of dac_rvq, .*, vae"):
        create_loss_modules_from_bottleneck(bottleneck)


def test_an_unknown_term_is_an_error():
    with pytest.raises(InputError, match="losses: 'kll': expected one of kl, quantizer"):
        create_loss_modules_from_bottleneck(MisspeltBottleneck(4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bottleneck": {"weights": {"kl": -1}}}, r"loss: bottleneck\.weights\.kl=-1: .*greater"),
        ({"bottleneck": {"weights": {"mmd": math.inf}}}, r"weights\.mmd=inf: .*finite"),
        ({"bottleneck": {"weights": {"mmd": math.nan}}}, r"weights\.mmd=nan"),
        ({"bottleneck": {"weights": {"kld": 1}}}, r"weights\.kld=1: unknown key .*'kl'"),
        ({"bottleneck": {"kl": 1}}, r"bottleneck\.kl=1: unknown key"),
        ({"reconstruction": {"type": "l3"}}, r"reconstruction\.type='l3'"),
        ({"reconstruction": {"weight": -0.1}}, r"reconstruction\.weight=-0\.1"),
        ({"spectral": {}}, "spectral={}: unknown key"),
        ({"adversarial": {"weight": 1}}, "adversarial.*not offered: leave this key out"),
        (["kl"], r"\['kl'\]: expected a mapping"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(config, message):
    with pytest.raises(InputError, match=message):
        create_loss_modules_from_bottleneck(build("vae"), config)


def test_a_value_loss_reads_its_key_or_names_those_that_are_there():
    loss = ValueLoss("kl", 0.5, "kl_loss")
    assert loss({"kl": torch.tensor(3.0)}) == 1.5
    for idiom in (KeyError, InputError):
        with pytest.raises(idiom, match="loss kl_loss: the model's output has no 'kl'; it has"):
            loss({"latent": 1, "mmd": 2})
    with pytest.raises(InputError, match="it has 'latent', 'mmd'"):
        loss({"latent": 1, "mmd": 2})


@pytest.mark.parametrize("type", ["l1", "l2", "ssim"])
def test_a_reconstruction_error_is_zero_for_the_image_and_grows_with_noise(type):
    loss, images = ReconstructionLoss(type, weight=2.0), torch.rand(2, 3, 20, 30)
    noise = torch.randn_like(images)
    errors = [loss(images + scale * noise, images).item() for scale in (0.0, 0.05, 0.2)]
    assert errors[0] == pytest.approx(0, abs=1e-6)
    assert errors[0] < errors[1] < errors[2]
    reconstruction = (images + 0.1 * noise).requires_grad_()
    loss(reconstruction, images).backward()
    assert reconstruction.grad.isfinite().all()
    assert torch.isfinite(loss(torch.rand(1, 1, 6, 4), torch.rand(1, 1, 6, 4)))
    with pytest.raises(ValueError, match="expected one shape"):
        loss(images[:, :1], images)


def test_structural_similarity_is_the_formula_of_its_paper():
    torch.manual_seed(0)
    a, b = torch.rand(2, 12, 14, dtype=torch.float64)
    offsets = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(2):
        for left in range(4):
            one, two = (x[top : top + 11, left : left + 11] for x in (a, b))
            mean_one, mean_two = (window * one).sum(), (window * two).sum()
            variance_one = (window * (one - mean_one) ** 2).sum()
            variance_two = (window * (two - mean_two) ** 2).sum()
            covariance = (window * (one - mean_one) * (two - mean_two)).sum()
            values.append(
                (2 * mean_one * mean_two + 1e-4)
                * (2 * covariance + 9e-4)
                / ((mean_one**2 + mean_two**2 + 1e-4) * (variance_one + variance_two + 9e-4))
            )
    expected = 1 - torch.stack(values).mean()
    torch.testing.assert_close(ReconstructionLoss("ssim")(a[None, None], b[None, None]), expected)


def test_the_whole_loss_is_the_sum_of_its_terms():
    images = torch.rand(2, 1, 16, 16)
    output = {"reconstruction": images + 0.1, "kl": torch.tensor(2.0)}
    config = {
        "reconstruction": {"type": "l1", "weight": 3},
        "bottleneck": {"weights": {"kl": 0.5}},
    }
    total, terms = AutoencoderLoss(build("vae"), config)(output, images)
    assert total.item() == pytest.approx(1.3)
    assert {key: value.item() for key, value in terms.items()} == pytest.approx(
        {"reconstruction_loss": 0.3, "kl_loss": 1.0}
    )
