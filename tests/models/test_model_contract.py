"""What every registered model keeps; a new model is tested for free.

A message says what a model that fails has to add.
"""

import copy

import pytest
import torch
from model_cases import REGISTRY, STRIPS, built, for_each_model, make

from core.errors import InputError
from core.models.output import logits_of

GREY = "take (batch, 1 or 3, height, width): images.mean(1, keepdim=True) makes it one channel"
SCALE = "divide by 255 where not images.is_floating_point()"
NUM_CLASSES = "give the constructor num_classes: NumClasses = 4, from core.models"


@for_each_model
def test_defaults_are_valid_parameters(name):
    defaults = REGISTRY.defaults(name)
    assert defaults.get("num_classes") == 4, NUM_CLASSES
    REGISTRY.parameters(name)(**defaults)
    assert REGISTRY.schema(name)["additionalProperties"] is False


@for_each_model
def test_docstring_names_its_source_and_says_what_it_is(name):
    wanted = "the docstring of the class ends in a line `Source: authors, title, year`"
    assert "Source:" in (REGISTRY.get(name).__doc__ or ""), wanted
    assert REGISTRY.description(name), "the first line of its docstring says what it is"


@for_each_model
@torch.no_grad()
def test_logits_for_one_and_three_channels(name):
    grey = logits_of(built(name)(STRIPS))
    assert grey.shape == (2, 4)
    assert torch.isfinite(grey).all()
    try:
        colour = logits_of(built(name)(STRIPS.expand(-1, 3, -1, -1)))
    except (RuntimeError, ValueError) as error:
        pytest.fail(f"three channels: {error}: {GREY}")
    torch.testing.assert_close(grey, colour, atol=1e-5, rtol=1e-5)


@for_each_model
@torch.no_grad()
def test_uint8_equals_float_in_0_to_1(name):
    whole, share = (logits_of(built(name)(images)) for images in (STRIPS, STRIPS.float() / 255))
    assert torch.equal(whole, share), SCALE


@for_each_model
@torch.no_grad()
@pytest.mark.parametrize("level", [0, 255])
def test_finite_on_black_and_white(name, level):
    assert torch.isfinite(logits_of(built(name)(torch.full_like(STRIPS, level)))).all()


@for_each_model
@torch.no_grad()
def test_images_in_a_batch_do_not_know_of_each_other(name):
    together = logits_of(built(name)(STRIPS))
    swapped, alone = logits_of(built(name)(STRIPS.flip(0))), logits_of(built(name)(STRIPS[:1]))
    torch.testing.assert_close(swapped, together.flip(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, together[:1], atol=1e-5, rtol=1e-5)


@for_each_model
def test_inputs_and_global_state_are_untouched(name):
    images, state = STRIPS.clone(), torch.get_rng_state()
    assert logits_of(built(name)(images)).requires_grad
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, STRIPS)


@for_each_model
def test_gradient_reaches_every_parameter_by_the_second_step(name):
    """The first step leaves out what stands before a layer that starts at zero, by design."""
    model = copy.deepcopy(built(name)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reached = set()
    for _ in range(2):
        optimizer.zero_grad()
        logits = logits_of(model(STRIPS))
        (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            if parameter.grad.abs().sum() > 0:
                reached.add(key)
        optimizer.step()
    assert {key for key, _ in model.named_parameters()} - reached == set()


@for_each_model
@torch.no_grad()
def test_a_copy_shares_nothing_and_takes_weights_back(name):
    before = logits_of(built(name)(STRIPS))
    other = copy.deepcopy(built(name))
    assert torch.equal(logits_of(other(STRIPS)), before)
    for parameter in other.parameters():
        parameter.zero_()
    assert torch.equal(logits_of(other(STRIPS)), torch.zeros(2, 4))
    assert torch.equal(logits_of(built(name)(STRIPS)), before)
    other.load_state_dict(built(name).state_dict())
    assert torch.equal(logits_of(other(STRIPS)), before)


@for_each_model
@torch.no_grad()
def test_built_again_it_takes_a_state_dict(name):
    state = built(name).state_dict()
    other = make(name, num_classes=3).eval()
    assert logits_of(other(STRIPS)).shape == (2, 3)
    same = {key: value.shape for key, value in other.state_dict().items()}
    assert list(same) == list(state)
    assert sum(state[key].shape != shape for key, shape in same.items()) <= 2, "the last layer"


@for_each_model
@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"num_classes": 0}, ("num_classes=0", "greater than or equal to 1")),
        ({"num_clases": 3}, ("num_clases", "did you mean 'num_classes'")),
        ({"num_classes": "many"}, ("num_classes='many'", "integer")),
    ],
)
def test_bad_parameters_are_refused_in_one_line(name, params, words):
    try:
        REGISTRY.instantiate(name, **params)
    except InputError as error:
        message = str(error)
    else:
        pytest.fail(f"{params} was accepted: {NUM_CLASSES}")
    assert "\n" not in message
    assert all(word in message for word in ("model", name, *words)), message
