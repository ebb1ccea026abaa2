"""What every registered loss promises; a new one is tested by being registered."""

import copy
import itertools
import json
import pickle

import pytest
import torch
from loss_examples import NAMES, SHAPES, build, confident, example, shapes

from core.errors import InputError
from core.losses import get_loss, get_registry

CASES = [(name, shape) for name in NAMES for shape in shapes(name)]
SHAPE = (6, 4, 5, 7)
every_loss = pytest.mark.parametrize("name", NAMES)
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
    if get_registry().get(name).index_targets:
        pytest.skip("class indices name the classes")
    logits, targets = example(name, SHAPE)
    order = [2, 0, 3, 1]
    loss, other = build(name), get_registry().instantiate(name, **build_params(name))
    counts = torch.tensor([897, 247, 5150, 801])[order].tolist()
    other.set_class_statistics(counts, 12568, "train_split")
    torch.testing.assert_close(other(logits[:, order], targets[:, order]), loss(logits, targets))


def build_params(name):
    from loss_examples import REQUIRED_PARAMS

    return REQUIRED_PARAMS.get(name, {})


@every_loss
def test_doubling_the_batch_changes_nothing(name):
    logits, targets = example(name, SHAPE, dtype=torch.float64)
    loss = build(name).double()
    twice = loss(torch.cat([logits, logits]), torch.cat([targets, targets]))
    tolerance = 0.02 if "smoothing" in tags(name) else 1e-12
    torch.testing.assert_close(twice, loss(logits, targets), rtol=tolerance, atol=tolerance)


def tags(name):
    return get_registry().list_with_tags()[name]


@every_loss
def test_reductions_agree(name):
    logits, targets = example(name, SHAPE, dtype=torch.float64)
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
def test_params_are_json_and_build_it_again(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    params = json.loads(json.dumps(loss.get_params(), allow_nan=False))
    assert params["type"] == name
    again = get_loss(params)
    assert again.get_params() == loss.get_params()
    torch.testing.assert_close(again(logits, targets), loss(logits, targets))


@every_loss
def test_state_dict_round_trip(name, tmp_path):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    torch.save(loss.state_dict(), tmp_path / "loss.pt")
    fresh = get_registry().instantiate(name, **build_params(name))
    fresh.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))
    assert fresh.get_params() == loss.get_params()
    assert torch.equal(fresh.eval()(logits, targets), loss.eval()(logits, targets))


@every_loss
def test_copies_and_pickles(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(again(logits, targets), loss(logits, targets))


@every_loss
def test_buffers_and_parameters_follow_to(name):
    loss = build(name).to(device="meta", dtype=torch.float64)
    for tensor in [*loss.buffers(), *loss.parameters()]:
        assert tensor.device.type == "meta"
        assert tensor.dtype == torch.float64 or not tensor.is_floating_point()


@every_loss
def test_shapes_that_do_not_fit_are_refused(name):
    loss = build(name)
    logits, targets = example(name, SHAPE)
    for bad_logits, bad_targets in [
        (logits, targets[:3]),
        (logits[..., 0], targets),
        (logits[:0], targets[:0]),
        (logits[0, 0, 0], targets[0, 0, 0]),
    ]:
        with pytest.raises(ValueError, match="expected"):
            loss(bad_logits, bad_targets)


@every_loss
def test_image_labels_are_refused_by_a_loss_that_needs_masks(name):
    logits, targets = example(name, SHAPES[0])
    if get_registry().get(name).requires_masks:
        with pytest.raises(InputError, match=f"{name}.*masks"):
            build(name)(logits, targets)
        with pytest.raises(InputError, match=f"{name}.*masks"):
            get_loss({"type": name, **build_params(name)}, masks=False)
    else:
        assert get_loss({"type": name, **build_params(name)}, masks=False)


@every_loss
def test_unknown_parameters_are_refused_by_name(name):
    params = build_params(name)
    with pytest.raises(InputError, match=f"loss {name}: reductoin=.*did you mean 'reduction'"):
        get_registry().instantiate(name, **params, reductoin="sum")
    with pytest.raises(InputError, match=f"loss {name}: reduction='median'.*'mean'"):
        get_registry().get(name)(**params, reduction="median")


@every_loss
def test_documentation_names_its_source(name):
    doc = get_registry().get(name).__doc__
    assert "Source: " in doc or "Sources: " in doc
    assert any(character.isdigit() for character in doc.partition("Source")[2])
