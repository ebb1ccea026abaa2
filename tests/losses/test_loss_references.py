"""Every loss against an independent float64 reference, for any shape and values."""

import doctest
import io
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_examples import NAMES, example
from loss_references import REFERENCES

from core.losses import get_registry

pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")
DOCS = {name: get_registry().get(name).__doc__ for name in NAMES}
CASES = [(name, params) for name, (_, rows) in REFERENCES.items() for params in rows]


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_has_a_reference_or_a_worked_example(name):
    loss = get_registry().get(name)
    examples = doctest.DocTestParser().get_examples(loss.__doc__ or "")
    assert name in REFERENCES or examples, (
        f"{name} has nothing to compare with. Either show a value that is worked out by hand in "
        f"the docstring of {loss.__name__} (`>>> {loss.__name__}()(logits, targets).item()`, and "
        "the number in the next line), or write it again by numpy in "
        f'tests/losses/loss_references.py and add `"{name}": ({name}, [{{}}]),` to REFERENCES there'
    )


@pytest.mark.parametrize("name", [name for name in NAMES if ">>>" in str(DOCS[name])])
def test_worked_examples_are_right(name):
    names = {"torch": torch, **vars(sys.modules[get_registry().get(name).__module__])}
    test = doctest.DocTestParser().get_doctest(DOCS[name], names, name, None, None)
    report = io.StringIO()
    doctest.DocTestRunner().run(test, out=report.write)
    assert not report.getvalue()


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(deadline=None, max_examples=12)
@given(
    spatial=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    batch=st.integers(1, 3),
    scale=st.sampled_from([0.0, 0.5, 3.0, 12.0]),
    seed=st.integers(0, 1000),
)
def test_equals_its_reference(name, params, spatial, batch, scale, seed):
    if name == "boundary_loss" and not spatial:
        spatial = (3,)
    logits, targets = example(name, (batch, 4, *spatial), seed, torch.float64)
    logits *= scale
    value = get_registry().instantiate(name, **params)(logits, targets)
    expected = REFERENCES[name][0](logits.numpy(), targets.numpy(), **params)
    torch.testing.assert_close(value.item(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "params"), CASES)
def test_second_derivatives_are_those_of_the_definition(name, params):
    logits, targets = example(name, (2, 4, 2), 7, torch.float64)
    loss = get_registry().instantiate(name, **params)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, targets), logits.requires_grad_())


@pytest.mark.parametrize(("name", "params"), CASES)
@pytest.mark.parametrize("spatial", [(), (3,), (2, 3)])
def test_gradient_is_the_slope_of_the_value(name, params, spatial):
    if name == "boundary_loss" and not spatial:
        pytest.skip("needs masks")
    logits, targets = example(name, (2, 4, *spatial), 7, torch.float64)
    loss = get_registry().instantiate(name, **params)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.requires_grad_())
