"""What holds for the losses of embeddings, and for what they are made of."""

import copy
import io
import math

import pytest
import torch

from core.errors import InputError
from core.pretraining.losses import (
    BarlowTwinsLoss,
    BaseLoss,
    ClipLoss,
    InfoNCELoss,
    NTXentLoss,
    VICRegLoss,
)
from core.pretraining.losses.clip import LARGEST_LOG_SCALE
from core.pretraining.losses.similarity import hardest_negatives, positive_mask, similarities

BATCH, DIMENSIONS = 6, 5
LOSSES = {
    "nt_xent": NTXentLoss,
    "nt_xent_hard": lambda: NTXentLoss(hard_percentile=50),
    "vicreg": VICRegLoss,
    "barlow_twins": BarlowTwinsLoss,
    "barlow_twins_unbiased": lambda: BarlowTwinsLoss(standardization="unbiased"),
    "info_nce": lambda: with_keys(InfoNCELoss(DIMENSIONS, queue_size=8)),
    "clip": ClipLoss,
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    first = draw(BATCH, DIMENSIONS)
    return first, first + 0.5 * draw(BATCH, DIMENSIONS, seed=1)


def with_keys(loss: InfoNCELoss) -> InfoNCELoss:
    loss.queue.add(similarities(draw(8, 5, seed=2), torch.eye(5)), torch.arange(8) + 100)
    return loss


def test_a_loss_without_forward_cannot_be_made():
    class Unfinished(BaseLoss):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_is_a_finite_scalar_with_a_gradient(name, dtype):
    first, second = (view.to(dtype).requires_grad_() for view in pair())
    value = LOSSES[name]()(first, second)
    value.backward()
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    gradients = [first.grad] + ([] if name == "info_nce" else [second.grad])
    for gradient in gradients:
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().sum(1) > 0).all()


@every_loss
def test_half_precision_is_computed_in_float32(name):
    rounded = [view.bfloat16() for view in pair()]
    loss = LOSSES[name]()
    expected = copy.deepcopy(loss)(*(view.float() for view in rounded))
    torch.testing.assert_close(loss(*rounded), expected, rtol=1e-6, atol=0)


@every_loss
def test_order_of_the_batch_does_not_matter(name):
    first, second = pair()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(
        LOSSES[name]()(first[order], second[order]), LOSSES[name]()(first, second)
    )


@every_loss
def test_alike_views_of_different_images_score_lower(name):
    first, second = pair()
    other = second.roll(1, 0)
    assert LOSSES[name]()(first, first) < LOSSES[name]()(first, second)
    assert LOSSES[name]()(first, second) < LOSSES[name]()(first, other)


@every_loss
def test_its_state_is_that_of_a_copy(name):
    loss, stream = LOSSES[name](), io.BytesIO()
    loss(*pair())
    torch.save(loss.state_dict(), stream)
    stream.seek(0)
    copied = LOSSES[name]()
    copied.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(copied(*pair()), loss(*pair()))


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_parallel_embeddings_have_the_logarithm_of_the_others(temperature):
    views = draw(1, DIMENSIONS).expand(BATCH, -1)
    expected = math.log(2 * BATCH - 1)
    assert NTXentLoss(temperature)(views, 3 * views).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_vicreg_of_collapsed_embeddings(value):
    collapsed = torch.full((BATCH, DIMENSIONS), value, dtype=torch.float64)
    assert VICRegLoss()(collapsed, collapsed).item() == 24.75
    in_float32 = VICRegLoss()(collapsed.float(), collapsed.float())
    assert in_float32.item() == pytest.approx(24.75, rel=1e-7)


def test_vicreg_term_by_term():
    first, second = (view.double() for view in pair())
    loss = VICRegLoss(invariance=2.0, variance=3.0, covariance=5.0)
    expected = 2.0 * ((first - second) ** 2).mean()
    for view in (first, second):
        covariance = torch.cov(view.T)
        lacking = [max(0.0, 1 - math.sqrt(v + 1e-4)) for v in covariance.diagonal().tolist()]
        expected += 3.0 * sum(lacking) / DIMENSIONS / 2
        different = covariance - covariance.diagonal().diag()
        expected += 5.0 * different.square().sum() / DIMENSIONS
    torch.testing.assert_close(loss(first, second), expected)


def test_equal_views_reach_the_identity_by_the_published_convention_alone():
    view = draw(200, 3)
    published = BarlowTwinsLoss(off_diagonal=0.0)(view, view)
    other = BarlowTwinsLoss(off_diagonal=0.0, standardization="unbiased")(view, view)
    assert published.item() == pytest.approx(0, abs=1e-8)
    assert other.item() == pytest.approx(3 / 200**2, rel=1e-2)


@pytest.mark.parametrize("loss", [VICRegLoss(), BarlowTwinsLoss()])
def test_statistics_of_one_image_are_refused(loss):
    with pytest.raises(InputError, match=r"a batch of 1: .*expected at least 2: give a larger"):
        loss(draw(1, 4), draw(1, 4))


def test_one_pair_finds_its_partner():
    assert NTXentLoss()(draw(1, 4), draw(1, 4, seed=1)).item() == 0


def test_several_positives_in_a_row():
    """Against plain loops: the mean of -log p over the positives of each view."""
    first, second = (view.double() for view in pair())
    ids = torch.tensor([0, 1, 0, 2, 2, 2])
    views, all_ids = torch.cat([first, second]), [*ids.tolist(), *ids.tolist()]
    total = 0.0
    for i in range(len(views)):
        cosines = [torch.cosine_similarity(views[i], views[j], dim=0) / 0.5 for j in range(12)]
        norm = sum(math.exp(c) for j, c in enumerate(cosines) if j != i)
        own = [c for j, c in enumerate(cosines) if j != i and all_ids[j] == all_ids[i]]
        total += sum(math.log(norm) - c.item() for c in own) / len(own)
    assert NTXentLoss(0.5)(first, second, ids).item() == pytest.approx(total / 12)


def test_ids_of_different_images_change_nothing():
    expected = NTXentLoss()(*pair())
    assert torch.equal(NTXentLoss()(*pair(), torch.tensor([9, 4, 7, 1, 0, 3])), expected)


def test_positive_mask():
    mask = positive_mask(torch.tensor([1, 2]), torch.tensor([2, 1, 2]))
    assert mask.tolist() == [[False, True, False], [True, False, True]]


def test_similarities():
    found = similarities(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6], [0.0]]))


def test_hardest_negatives():
    similarity = torch.tensor([[0.9, 0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5, 0.9]])
    negatives = torch.tensor([[False, True, True, True, True], [True, True, True, True, False]])
    assert torch.equal(hardest_negatives(similarity, negatives, 0), negatives)
    half = hardest_negatives(similarity, negatives, 50)
    assert half.tolist() == [[False, False, False, True, True], [True, True, True, True, False]]
    assert hardest_negatives(similarity, negatives, 100)[0].tolist() == [*[False] * 4, True]
    none = torch.zeros_like(negatives)
    assert not hardest_negatives(similarity, none, 50).any()


def test_hard_negatives_only_lower_the_loss():
    """They leave candidates out, and those that stay are the most similar ones."""
    values = [NTXentLoss(hard_percentile=p)(*pair()).item() for p in (0, 50, 100)]
    assert values[0] > values[1] > values[2]


def test_the_queue_is_first_in_first_out_and_wraps():
    loss = InfoNCELoss(2, queue_size=5)
    for number in range(3):
        keys = torch.full((3, 2), float(number + 1))
        loss(torch.ones(3, 2), keys, torch.arange(3) + 3 * number)
    # The places 0 1 2, then 3 4 0, then 1 2 3.
    assert loss.queue.ids.tolist() == [5, 6, 7, 8, 4]
    assert loss.queue.position.item() == 4
    loss.queue.add(torch.zeros(7, 2), torch.arange(7))
    assert sorted(loss.queue.ids.tolist()) == [2, 3, 4, 5, 6]


def test_keys_enter_the_queue_after_the_loss():
    loss, (query, key) = InfoNCELoss(DIMENSIONS, queue_size=3), (view[:1] for view in pair())
    image, other = torch.tensor([0]), torch.tensor([1])
    assert loss(query, key, image).item() == 0  # the queue is empty
    assert loss(query, key, image).item() == 0  # an image's own older key is no negative
    assert loss(query, key, other).item() > 0
    assert loss.queue.ids.tolist() == [0, 0, 1]


def test_only_the_filled_part_of_the_queue_counts():
    first, second = pair()
    small, large = InfoNCELoss(DIMENSIONS, queue_size=8), InfoNCELoss(DIMENSIONS, queue_size=512)
    assert torch.equal(with_keys(small)(first, second), with_keys(large)(first, second))


def test_validation_leaves_the_queue_alone():
    loss = with_keys(InfoNCELoss(DIMENSIONS, queue_size=8)).eval()
    before = loss.queue.keys.clone()
    loss(*pair())
    assert torch.equal(loss.queue.keys, before)


def test_keys_have_no_gradient():
    first, second = (view.requires_grad_() for view in pair())
    with_keys(InfoNCELoss(DIMENSIONS, queue_size=8))(first, second).backward()
    assert first.grad.abs().sum() > 0
    assert second.grad is None


def test_the_scale_of_clip_is_clamped_and_still_learns():
    loss = ClipLoss()
    torch.nn.init.constant_(loss.log_scale, 10.0)
    loss(*pair()).backward()
    assert loss.log_scale.item() == pytest.approx(LARGEST_LOG_SCALE)
    assert loss.log_scale.grad.abs() > 0


def test_images_of_one_label_set_share_the_target():
    first, second = (view.double() for view in pair())
    ids, loss = torch.tensor([0, 1, 0, 0, 2, 1]), ClipLoss()
    logits = similarities(first, second) * math.exp(loss.log_scale.item())
    same = ids[:, None] == ids[None]
    targets = same / same.sum(1, keepdim=True)
    torch.testing.assert_close(targets.sum(1), torch.ones(BATCH))
    expected = sum(
        torch.nn.functional.cross_entropy(each, targets.double()) for each in (logits, logits.T)
    )
    torch.testing.assert_close(loss(first, second, ids), expected / 2)
