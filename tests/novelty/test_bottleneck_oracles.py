"""The numbers of other projects for bottlenecks and their losses."""

import json
import re

import pytest
import torch

from core.errors import InputError
from core.novelty.bottleneck_losses import create_loss_modules_from_bottleneck
from core.novelty.bottlenecks import get_registry
from core.novelty.bottlenecks.codebook import AveragedCodebook
from core.novelty.bottlenecks.divergences import kl_from_standard_normal, mmd, mmd_of_kernels


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def kl(case):
    return kl_from_standard_normal(double(case["inputs"]["mean"]), double(case["inputs"]["std"]))


def discrepancy(case):
    x, y = double(case["inputs"]["x"]), double(case["inputs"]["y"])
    params = case["params"]
    if "degree" in params:  # a kernel that is not offered tries the estimator
        kernels = [(a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        return mmd_of_kernels(*kernels, "unbiased")
    return mmd(x, y, "gaussian", params["estimator"], bandwidth=1 / params["gamma"])


def averaged(case):
    """The codebook of the case, not started from data, as one stage."""
    vectors = double(case["params"]["codebook"])
    bottleneck = get_registry().get(
        "rvq", channels=vectors.shape[1], num_quantizers=1, codebook_size=len(vectors)
    )
    book: AveragedCodebook = bottleneck.quantizer.stages[0].codebook
    book.vectors = vectors
    rows = double(case["inputs"]["x_BND"])
    return bottleneck.eval()(rows.movedim(-1, 1).unsqueeze(-1))


def factorized(case):
    """Both codebooks of the case, with projections that change nothing."""
    books, features = double(case["params"]["codebooks"]), double(case["inputs"]["z_BDT"])
    channels = features.shape[1]
    bottleneck = get_registry().get(
        "dac_rvq",
        channels=channels,
        num_quantizers=len(books),
        codebook_size=books.shape[1],
        codebook_channels=channels,
    )
    for stage, vectors in zip(bottleneck.double().quantizer.stages, books, strict=True):
        stage.codebook.vectors.data = vectors
        for projection in (stage.to_code, stage.from_code):
            torch.nn.init.dirac_(projection.weight)
            torch.nn.init.zeros_(projection.bias)
    output = bottleneck.eval()(features.unsqueeze(-1))
    # There the stages are summed, here they are averaged.
    assert torch.equal(output["vq/codebook_loss"], output["vq/commitment_loss"])
    return output["vq/commitment_loss"] * len(books), output["codes"].squeeze(-1)


FAMILIES = {
    "vae_kl": kl,
    "mmd": discrepancy,
    "vq": lambda case: averaged(case)["quantizer_loss"],
    "vq_indices": lambda case: averaged(case)["codes"].flatten(),
    "rvq": lambda case: factorized(case)[0],
    "rvq_indices": lambda case: factorized(case)[1],
}


@pytest.fixture(scope="module")
def cases(shared_file):
    return json.loads(shared_file("oracles/losses.json").read_text())["cases"]


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_other_projects(family, cases):
    found = [case for case in cases if case["family"] == family]
    assert found
    for case in found:
        expected = torch.tensor(case["expected"])
        value = FAMILIES[family](case).detach()
        torch.testing.assert_close(
            value,
            double(case["expected"]) if value.is_floating_point() else expected,
            rtol=max(case["rtol"], 1e-12),
            atol=case["atol"],
        )


def registered_name(class_name):
    """`dac_rvq_vae` of `DACRVQVAEBottleneck`."""
    kind = class_name.removesuffix("Bottleneck")
    return "_".join(re.findall("DAC|RVQ|VAE|[A-Z][a-z]+", kind)).lower()


def test_the_factory_equals_that_of_stable_audio(cases):
    found = [case for case in cases if case["family"] == "bottleneck_factory"]
    assert found
    for case in found:
        name, config = registered_name(case["inputs"]["bottleneck"]), case["params"]
        if not case["expected"]:  # there an unsupported bottleneck gives an empty list
            assert name not in get_registry()
            with pytest.raises(InputError):
                create_loss_modules_from_bottleneck(torch.nn.Identity(), config)
            continue
        bottleneck = get_registry().get(name, channels=8)
        assert type(bottleneck).__name__ == case["inputs"]["bottleneck"]
        losses = create_loss_modules_from_bottleneck(bottleneck, config)
        rows = [{"key": each.key, "weight": each.weight, "name": each.name} for each in losses]
        assert rows == case["expected"], case["id"]


def test_the_default_kernels_are_those_that_are_documented():
    x, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    for kernel, between in (
        ("inverse_multiquadric", 4 / (4 + 25)),
        ("gaussian", torch.exp(torch.tensor(-25 / 4)).item()),
    ):
        assert mmd(x, y, kernel).item() == pytest.approx(2 - 2 * between)


def test_an_unbiased_estimate_requires_two_rows():
    with pytest.raises(ValueError, match="at least two rows"):
        mmd(torch.zeros(1, 2), torch.zeros(3, 2), estimator="unbiased")
