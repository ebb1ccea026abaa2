"""What every registered loss promises as an object: records, checkpoints, copies, refusals."""

import copy
import json
import pickle

import pytest
import torch
from loss_examples import NAMES, REQUIRED_PARAMS, SHAPES, build, example

from core.errors import InputError
from core.losses import get_loss, get_registry

SHAPE = (6, 4, 5, 7)
every_loss = pytest.mark.parametrize("name", NAMES)
pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")


def assert_same(params, expected):
    """Equal, up to the rounding of learned weights."""
    weights = [dict(each).pop("weights", {}) for each in (params, expected)]
    assert weights[0] == pytest.approx(weights[1])
    rest = [{k: v for k, v in each.items() if k != "weights"} for each in (params, expected)]
    assert rest[0] == rest[1]


@every_loss
def test_params_are_json_and_build_it_again(name):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    params = json.loads(json.dumps(loss.get_params(), allow_nan=False))
    assert params["type"] == name
    again = get_loss(params)
    assert_same(again.get_params(), loss.get_params())
    torch.testing.assert_close(again(logits, targets), loss(logits, targets))


@every_loss
def test_state_dict_round_trip(name, tmp_path):
    logits, targets = example(name, SHAPE)
    loss = build(name)
    torch.save(loss.state_dict(), tmp_path / "loss.pt")
    fresh = get_registry().instantiate(name, **REQUIRED_PARAMS.get(name, {}))
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
    if build(name).requires_masks:
        with pytest.raises(InputError, match=f"{name}.*masks"):
            build(name)(logits, targets)
        with pytest.raises(InputError, match=f"{name}.*masks"):
            get_loss({"type": name, **REQUIRED_PARAMS.get(name, {})}, masks=False)
    else:
        assert get_loss({"type": name, **REQUIRED_PARAMS.get(name, {})}, masks=False)


@every_loss
def test_unknown_parameters_are_refused_by_name(name):
    params = REQUIRED_PARAMS.get(name, {})
    with pytest.raises(InputError, match=f"loss {name}: reductoin=.*did you mean 'reduction'"):
        get_registry().instantiate(name, **params, reductoin="sum")
    with pytest.raises(InputError, match=f"loss {name}: reduction='median'.*'mean'"):
        get_registry().get(name)(**params, reduction="median")


@every_loss
def test_documentation_names_its_source(name):
    source = (get_registry().get(name).__doc__ or "").partition("Source")[2]
    wanted = "the docstring of the class ends in a line `Source: authors, title, year`"
    assert source.startswith((": ", "s: ")), wanted
    assert any(character.isdigit() for character in source), wanted


@every_loss
def test_its_parameters_have_a_json_schema(name):
    schema = get_registry().schema(name)
    assert set(schema["properties"]) == set(get_registry().defaults(name))
