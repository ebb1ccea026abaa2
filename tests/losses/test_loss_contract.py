"""What every registered loss promises; a new one is tested by being registered."""

import itertools
import warnings

import pytest
import torch
from loss_examples import NAMES, REQUIRED_PARAMS, build, confident, example, shapes

from core.errors import InputError
from core.losses import get_registry

CASES = [(name, shape) for name in NAMES for shape in shapes(name)]
SHAPE = (6, 4, 5, 7)
every_loss = pytest.mark.parametrize("name", NAMES)
pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")
every_case = pytest.mark.parametrize(("name", "shape"), CASES)
LOG_LIKELIHOOD = get_registry().filter_by_tag("log_likelihood")


def gradient(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    loss(logits, targets).backward()
    return logits.grad


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_is_a_finite_scalar_with_a_gradient(name, shape, dtype):
    logits, targets = example(name, shape, dtype=dtype)
    loss = build(name)
    value = loss(logits, targets)
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(value)
    grad = gradient(loss, logits, targets)
    assert grad.dtype == dtype
    assert torch.isfinite(grad).all()
    assert grad.abs().sum() > 0


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [0.0, 100.0, -100.0])
def test_is_finite_on_extreme_logits(name, shape, dtype, size):
    _, targets = example(name, shape)
    logits = confident(name, targets, shape, size).to(dtype)
    loss = build(name)
    assert torch.isfinite(loss(logits, targets))
    assert torch.isfinite(gradient(loss, logits, targets)).all()


@every_case
@pytest.mark.parametrize("fill", [0, 1])
def test_is_finite_on_targets_of_one_kind(name, shape, fill):
    logits, targets = example(name, shape)
    targets = torch.full_like(targets, fill)
    for given in (logits, logits * 100):
        assert torch.isfinite(build(name)(given, targets))
        assert torch.isfinite(gradient(build(name), given, targets)).all()


@pytest.mark.parametrize("name", LOG_LIKELIHOOD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_is_alive_on_a_confident_error(name, dtype):
    _, targets = example(name, SHAPE)
    wrong = confident(name, targets, SHAPE, -100.0).to(dtype)
    moderate = confident(name, targets, SHAPE, -8.0).to(dtype)
    saturated, before = (gradient(build(name), x, targets).float() for x in (wrong, moderate))
    # A loss of the kind softplus(-z) is linear there; one that computes 1 - p first is dead.
    assert saturated.abs().sum() > 0.9 * before.abs().sum()


@every_loss
def test_better_predictions_score_lower(name):
    _, targets = example(name, SHAPE)
    loss = build(name)
    values = [loss(confident(name, targets, SHAPE, size), targets) for size in (-3, 0, 1, 3, 8)]
    assert all(earlier > later for earlier, later in itertools.pairwise(values))


@every_loss
def test_order_of_the_batch_does_not_matter(name):
    logits, targets = example(name, SHAPE)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = build(name)
    torch.testing.assert_close(loss(logits[order], targets[order]), loss(logits, targets))


@every_loss
def test_order_of_the_classes_does_not_matter(name):
    logits, targets = example(name, SHAPE)
    order = [2, 0, 3, 1]
    indices = get_registry().get(name).index_targets
    moved = torch.tensor(order).argsort()[targets] if indices else targets[:, order]
    loss, other = build(name), get_registry().instantiate(name, **REQUIRED_PARAMS.get(name, {}))
    counts = torch.tensor([897, 247, 5150, 801])[order].tolist()
    other.set_class_statistics(counts, 12568, "train_split")
    torch.testing.assert_close(other(logits[:, order], moved), loss(logits, targets))


@every_loss
def test_doubling_the_batch_changes_nothing(name):
    logits, targets = example(name, SHAPE, dtype=torch.float64)
    for reduction in set(get_registry().get(name).reductions) - {"sum", "none"}:
        # Smoothing is in pixels: without it, nothing depends on the size of the batch.
        loss = build(name, reduction=reduction, **without_smoothing(name)).double()
        twice = loss(torch.cat([logits, logits]), torch.cat([targets, targets]))
        torch.testing.assert_close(twice, loss(logits, targets), rtol=1e-12, atol=1e-12)


@every_loss
def test_accumulated_batches_have_the_gradient_of_one(name):
    """Batches of sums are added up, batches of means by their share of the images."""
    logits, targets = example(name, SHAPE, dtype=torch.float64)
    takes = get_registry().get(name)
    over_the_batch = (True, False) if "batch" in get_registry().defaults(name) else (None,)
    for reduction, batch in itertools.product(takes.reductions, over_the_batch):
        if reduction == "none" or name == "compound":
            continue
        params = {"reduction": reduction} | ({} if batch is None else {"batch": batch})
        loss = build(name, **params)
        assert loss.sums_over_images is (reduction == "sum" and not batch)
        if not batch:
            check_accumulation(loss, logits, targets)


def check_accumulation(loss, logits, targets):
    parts = (slice(0, 4), slice(4, 6))
    weights = [1.0 if loss.sums_over_images else len(logits[part]) / len(logits) for part in parts]
    added = [
        weight * gradient(loss, logits[part], targets[part])
        for weight, part in zip(weights, parts, strict=True)
    ]
    torch.testing.assert_close(torch.cat(added), gradient(loss, logits, targets))


def without_smoothing(name):
    if name == "compound":
        parts = REQUIRED_PARAMS["compound"]["components"]
        return {
            "components": [{**p, **({"smooth": 0} if p["type"] == "dice" else {})} for p in parts]
        }
    return {"smooth": 0} if "smooth" in get_registry().defaults(name) else {}


@every_loss
def test_reductions_agree(name):
    logits, targets = example(name, SHAPE, dtype=torch.float64)
    if name == "compound":
        pytest.skip("its parts have elements of different shapes")
    none = build(name, reduction="none")(logits, targets)
    assert none.ndim > 0
    mean, total = (build(name, reduction=kind)(logits, targets) for kind in ("mean", "sum"))
    torch.testing.assert_close(none.mean(), mean)
    torch.testing.assert_close(none.sum(), total)


@every_loss
def test_inputs_and_global_state_stay_as_they_were(name):
    logits, targets = example(name, SHAPE)
    before = logits.clone(), targets.clone(), torch.get_rng_state()
    gradient(build(name), logits, targets)
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@every_loss
def test_gradient_reaches_every_parameter(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    loss(logits, targets).backward() if list(loss.parameters()) else None
    for key, parameter in loss.named_parameters():
        assert parameter.grad is not None, key


@every_loss
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (3, 1, 1, 2)])
def test_one_class_and_one_pixel_are_enough(name, shape):
    loss = get_registry().instantiate(name, **REQUIRED_PARAMS.get(name, {}))
    if loss.requires_masks and len(shape) == 2:
        pytest.skip("needs masks")
    loss.set_class_statistics([3], 10, "train_split")
    logits, targets = example(name, shape)
    assert torch.isfinite(loss(logits, targets))
    assert torch.isfinite(gradient(loss, logits, targets)).all()


@every_loss
def test_autocast_changes_nothing(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    expected = loss(logits, targets), gradient(loss, logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(logits, targets), gradient(loss, logits, targets)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@every_loss
def test_a_compiled_loss_is_the_same_loss(name):
    logits, targets = example(name, SHAPE, dtype=torch.float64)
    loss = build(name).double()
    expected = gradient(loss, logits, targets)
    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="eager" if name == "compound" else "aot_eager")
    torch.testing.assert_close(gradient(compiled, logits, targets), expected)
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(gradient(compiled, logits, targets), expected)


@every_loss
def test_gradient_by_the_targets_is_right(name):
    """Such as where targets come from another network."""
    if get_registry().get(name).index_targets:
        pytest.skip("class indices have no gradient")
    logits, targets = example(name, (2, 3, 2, 3), dtype=torch.float64)
    # Well inside of a mask and of its background, where distance maps do not change.
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(targets.shape, generator=generator, dtype=torch.float64)
    soft = (0.1 + 0.7 * targets + 0.1 * noise).requires_grad_()
    loss = get_registry().instantiate(name, **REQUIRED_PARAMS.get(name, {})).double()
    loss.set_class_statistics([3, 4, 5], 10, "train_split")
    loss.eval()
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), soft))
    assert torch.autograd.gradcheck(loss, (logits.detach(), soft))


@every_loss
def test_takes_a_number_of_classes(name):
    params = REQUIRED_PARAMS.get(name, {})
    loss = get_registry().get(name, num_classes=4, **params)
    assert loss.get_params()["num_classes"] == 4
    with pytest.raises(InputError, match=f"loss {name}: num_classes=4: expected 3"):
        loss.set_class_statistics([3, 4, 5], 10, "train_split")
    loss.set_class_statistics([3, 4, 5, 6], 10, "train_split")
    logits, targets = example(name, (2, 3, 4, 5))
    with pytest.raises(InputError, match="num_classes=4: logits have the shape"):
        loss(logits, targets)
    with pytest.raises(InputError, match="num_classes=0"):
        get_registry().get(name, num_classes=0, **params)


@every_loss
def test_probabilities_in_place_of_logits_are_warned_of_once(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    with pytest.warns(UserWarning, match="as probabilities do"):
        loss(logits.sigmoid(), targets)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*as probabilities do")
        loss(logits.sigmoid(), targets)
        build(name)(logits, targets)
        build(name)(torch.zeros_like(logits), targets)
