"""Quantisation: gradients by side, averages once a step, codes started and revived from data."""

import copy

import pytest
import torch

from core.errors import InputError
from core.novelty.bottlenecks import get_registry
from core.novelty.bottlenecks.codebook import AveragedCodebook, LearnedCodebook
from core.novelty.bottlenecks.residual_quantizer import perplexity

ALL = {"counted": torch.ones(40, dtype=torch.bool)}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def build(name, **options):
    return get_registry().get(name, channels=6, codebook_size=8, **options)


def features(*shape):
    return torch.randn(shape or (4, 6, 5, 7))


def codebooks(bottleneck):
    return [stage.codebook for stage in bottleneck.quantizer.stages]


def test_straight_through_leaves_the_gradient_as_it_is():
    bottleneck, inputs = build("rvq"), features().requires_grad_()
    weights = torch.randn_like(inputs)
    latent = bottleneck(inputs)["latent"]
    (latent * weights).sum().backward()
    assert not torch.allclose(latent, inputs)
    torch.testing.assert_close(inputs.grad, weights)


def test_codebook_and_commitment_have_one_value_and_two_gradients():
    bottleneck, inputs = build("dac_rvq"), features().requires_grad_()
    output = bottleneck(inputs)
    codebook, commitment = output["vq/codebook_loss"], output["vq/commitment_loss"]
    torch.testing.assert_close(codebook, commitment)
    vectors = [book.vectors for book in codebooks(bottleneck)]
    both = [inputs, *vectors]
    of_codebook = torch.autograd.grad(codebook, both, retain_graph=True, allow_unused=True)
    of_commitment = torch.autograd.grad(commitment, both, allow_unused=True)
    assert of_codebook[0] is None or not of_codebook[0].any()
    assert all(gradient.any() for gradient in of_codebook[1:])
    assert of_commitment[0].any()
    assert all(gradient is None or not gradient.any() for gradient in of_commitment[1:])


def test_the_loss_of_averaged_codebooks_reaches_the_features_from_every_stage():
    bottleneck, inputs = build("rvq", num_quantizers=2), features().requires_grad_()
    output = bottleneck(inputs)
    output["quantizer_loss"].backward()
    with torch.no_grad():
        first = codebooks(bottleneck)[0].vectors[output["codes"][:, 0]].movedim(-1, 1)
        second = codebooks(bottleneck)[1].vectors[output["codes"][:, 1]].movedim(-1, 1)
        errors = (inputs - first) + (inputs - first - second)
    # Of a mean over both stages and all elements.
    torch.testing.assert_close(inputs.grad, errors / inputs.numel())


def test_averages_move_once_a_step_by_all_batches_since_the_last():
    book = AveragedCodebook(4, 3, 0.9, 0.0, 0)
    book(torch.randn(40, 3), **ALL)
    book.update()
    before, usage, sums = book.vectors.clone(), book.usage.clone(), book.sums.clone()
    batches = [torch.randn(40, 3) for _ in range(2)]
    indices = torch.cat([book(batch, **ALL) for batch in batches])
    assert torch.equal(book.vectors, before)
    book.update()
    rows = torch.cat(batches)
    for code in range(4):
        count, total = (indices == code).sum() * 4 / 80, rows[indices == code].sum(0) * 4 / 80
        new_usage = 0.9 * usage[code] + 0.1 * count
        torch.testing.assert_close(book.usage[code], new_usage)
        torch.testing.assert_close(book.vectors[code], (0.9 * sums[code] + 0.1 * total) / new_usage)


@pytest.mark.parametrize("name", ["rvq", "dac_rvq"])
def test_a_step_without_batches_or_after_evaluation_moves_nothing(name):
    bottleneck = build(name)
    bottleneck(features())
    bottleneck.after_optimizer_step()
    before = copy.deepcopy(bottleneck.state_dict())
    bottleneck.eval()(features())
    bottleneck.train().after_optimizer_step()
    assert all(torch.equal(before[key], value) for key, value in bottleneck.state_dict().items())


def test_the_optimizer_reports_its_steps():
    bottleneck, layer = build("rvq"), torch.nn.Conv2d(6, 6, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    handle = bottleneck.follow(optimizer)
    bottleneck(layer(features()))["latent"].sum().backward()
    before = codebooks(bottleneck)[0].usage.clone()
    optimizer.step()
    after = codebooks(bottleneck)[0].usage.clone()
    assert not torch.equal(before, after)
    handle.remove()
    bottleneck(layer(features()))
    optimizer.step()
    assert torch.equal(codebooks(bottleneck)[0].usage, after)


def test_a_forgotten_optimizer_is_an_error(monkeypatch):
    monkeypatch.setattr("core.novelty.bottlenecks.codebook._MOST_UNUSED_BATCHES", 3)
    bottleneck = build("rvq")
    for _ in range(3):
        bottleneck(features())
    with pytest.raises(RuntimeError, match=r"call bottleneck\.follow\(optimizer\)"):
        bottleneck(features())


@pytest.mark.parametrize("kind", [AveragedCodebook, LearnedCodebook])
def test_vectors_start_from_clusters_of_the_first_training_batch(kind):
    rows = 10 * torch.eye(5).repeat(8, 1) + 0.01 * torch.randn(40, 5)
    book = kind(5, 5, 0.9, 0.1, 0)
    book.eval()(rows, **ALL)
    assert not book.is_started
    indices = book.train()(rows, **ALL)
    assert book.is_started
    assert indices.unique().numel() >= 3
    for code in indices.unique():
        torch.testing.assert_close(book.vectors[code], rows[indices == code].mean(0))


@pytest.mark.parametrize("kind", [AveragedCodebook, LearnedCodebook])
def test_unused_vectors_are_replaced_by_rows_of_the_last_batch(kind):
    book = kind(8, 3, 0.5, 0.1, 0)
    book(torch.randn(40, 3), **ALL)
    book.update()
    with torch.no_grad():
        book.vectors[5:] = -1000.0
        book.usage[5:] = 1.0
    if kind is AveragedCodebook:
        book.sums[5:] = -1000.0
    for _ in range(4):
        rows = torch.rand(40, 3)
        book(rows, **ALL)
        book.update()
    assert (torch.cdist(book.vectors[5:], rows).min(1).values < 1e-5).all()
    assert (book.usage >= 0.1).all()


def test_a_batch_with_fewer_positions_than_codes_starts_and_trains():
    bottleneck = build("rvq")
    for _ in range(40):
        output = bottleneck(features(1, 6, 1, 2))
        bottleneck.after_optimizer_step()
    assert torch.isfinite(output["latent"]).all()


@pytest.mark.parametrize("name", ["rvq", "dac_rvq"])
def test_reports_codes_in_use_and_their_perplexity(name):
    output = build(name)(features())
    codes = output["codes"]
    for stage in range(codes.shape[1]):
        counts = torch.bincount(codes[:, stage].flatten(), minlength=8)
        assert output["codes_used"][stage] == (counts > 0).sum()
    assert codes.shape == (4, 4, 5, 7)
    torch.testing.assert_close(perplexity(torch.tensor([[3, 3, 0, 3]])), torch.tensor([3.0]))


@pytest.mark.parametrize("name", ["rvq", "dac_rvq"])
def test_quantizer_dropout_keeps_the_first_stages_of_some_images(name):
    torch.manual_seed(3)
    bottleneck = build(name, quantizer_dropout=0.9)
    inputs = features(16, 6, 5, 7)
    full = copy.deepcopy(bottleneck)
    full.quantizer.dropout = 0.0
    seeds = [torch.Generator().manual_seed(1) for _ in range(2)]
    short, whole = bottleneck(inputs, seeds[0]), full(inputs, seeds[1])
    differs = (short["latent"] - whole["latent"]).abs().amax((1, 2, 3)) > 1e-5
    assert 0 < differs.sum() < 16
    counted = [book.pending_counts.sum() for book in codebooks(bottleneck)]
    assert counted[0] == 16 * 35
    assert counted[0] > counted[1] > counted[3] > 0
    evaluated = [each.eval()(inputs)["latent"] for each in (bottleneck, full)]
    assert torch.equal(*evaluated)


def test_quantizer_dropout_of_one_stage_is_refused():
    with pytest.raises(InputError, match=r"quantizer_dropout=0\.5: has no effect"):
        build("dac_rvq", quantizer_dropout=0.5, num_quantizers=1)
