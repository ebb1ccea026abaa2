"""The generic registry."""

import threading
from typing import Annotated, Literal

import pytest
from pydantic import Field
from torch import nn

from core.errors import InputError
from core.registry import Registry, UnknownComponentError


class Base(nn.Module):
    """A base. With more text."""

    def __init__(
        self,
        width: Annotated[int, Field(ge=1)] = 8,
        kind: Literal["a", "b"] = "a",
        note: str | None = None,
    ) -> None:
        super().__init__()
        self.width, self.kind, self.note = width, kind, note


class Wide(Base):
    """A wide one."""

    def __init__(self, width: int = 64, **options: object) -> None:
        super().__init__(width=width, **options)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(base_class=nn.Module, name="model")
    registry.register("base", Base, tags=["small"])
    registry.register("wide", Wide, description="wider")
    return registry


def test_both_ways_to_register_and_the_class_name_as_default():
    registry = Registry()

    @registry.register(name="first", tags=["x"], description="the first")
    class First(nn.Module):
        pass

    @registry.register()
    class Second(nn.Module):
        """Second. More."""

    assert registry.list() == ["Second", "first"]
    assert registry.get("first") is First
    assert registry.description("first") == "the first"
    assert registry.description("Second") == "Second. More."
    assert registry.get("Second") is Second


def test_get_with_parameters_builds_an_instance(registry):
    assert registry.get("base") is Base
    built = registry.get("base", width=3, kind="b")
    assert isinstance(built, Base)
    assert (built.width, built.kind) == (3, "b")
    assert registry.instantiate("base").width == 8


def test_positional_arguments_are_checked_like_the_others(registry):
    built = registry.instantiate("base", 3, "b", note="n")
    assert (built.width, built.kind, built.note) == (3, "b", "n")
    assert registry.get("base", 3).width == 3
    assert registry.instantiate("wide", 3, kind="b").kind == "b"
    with pytest.raises(InputError, match="model base: width=0"):
        registry.instantiate("base", 0)
    with pytest.raises(TypeError, match="too many positional arguments"):
        registry.instantiate("base", 3, "b", "n", 4)
    with pytest.raises(TypeError, match="multiple values for argument 'width'"):
        registry.instantiate("base", 3, width=4)


def test_arguments_without_a_name_are_handed_on():
    registry = Registry(name="model")
    registry.register("chain", nn.Sequential)
    layers = nn.ReLU(), nn.Tanh()
    assert list(registry.instantiate("chain", *layers)) == list(layers)


def test_open_constructor_inherits_parameters_of_its_base(registry):
    assert registry.defaults("wide") == {"width": 64, "kind": "a", "note": None}
    assert registry.get("wide", kind="b").kind == "b"
    assert registry.instantiate("wide").width == 64
    with pytest.raises(InputError, match="kint"):
        registry.get("wide", kint="b")


class Mixin:
    """No constructor."""


class Deep:
    """A mixin with a parameter."""

    def __init__(self, depth: int = 2, **rest: object) -> None:
        super().__init__(**rest)
        self.depth = depth


class Plain(nn.Module):
    """No constructor."""


class PlainMixed(Mixin, nn.Module):
    """No constructor."""


class OpenMixed(Mixin, nn.Module):
    """Takes anything."""

    def __init__(self, width: int = 1, **options: object) -> None:
        super().__init__()
        self.options = options


class OpenDeep(Deep, nn.Module):
    """Hands on what it does not name."""

    def __init__(self, width: int = 1, **options: object) -> None:
        super().__init__(**options)


@pytest.mark.parametrize(
    ("component", "defaults", "more"),
    [
        (Plain, {}, False),
        (PlainMixed, {}, False),
        (OpenMixed, {"width": 1}, True),
        (OpenDeep, {"width": 1, "depth": 2}, True),
    ],
)
def test_constructors_that_are_inherited_or_mixed(component, defaults, more):
    registry = Registry(name="model")
    registry.register("x", component)
    assert registry.defaults("x") == defaults
    assert registry.schema("x")["additionalProperties"] is more
    assert isinstance(registry.instantiate("x", **defaults), component)
    if component is OpenMixed:
        assert registry.instantiate("x", other=3).options == {"other": 3}
    if not more:
        with pytest.raises(InputError, match="model x: other=3: unknown key"):
            registry.instantiate("x", other=3)


def test_a_component_that_is_no_module_may_lack_a_constructor():
    registry = Registry(base_class=Mixin, name="mixins")
    registry.register("mixin", Mixin)
    assert isinstance(registry.instantiate("mixin"), Mixin)
    with pytest.raises(TypeError, match="too many positional arguments"):
        registry.instantiate("mixin", 1)


def test_parameter_without_default_is_marked_missing():
    registry = Registry(name="model")

    class Needy(nn.Module):
        def __init__(self, backbone: str) -> None:
            super().__init__()

    registry.register("needy", Needy)
    assert registry.defaults("needy") == {"backbone": "???"}
    with pytest.raises(InputError, match="backbone is missing"):
        registry.instantiate("needy")


def test_what_is_no_subclass_is_a_type_error(registry):
    with pytest.raises(TypeError, match="Module"):
        registry.register("number", int)
    with pytest.raises(TypeError):
        registry.register("instance", Base())


@pytest.mark.parametrize("name", [Base, 5, "", ["base"]])
def test_a_name_that_is_no_string_is_a_type_error_at_once(registry, name):
    with pytest.raises(TypeError, match=r"model: name .*: expected a string") as error:
        registry.register(name)
    assert "\n" not in str(error.value)
    assert name not in registry
    with pytest.raises(UnknownComponentError):
        registry.get(name)


def test_tags_are_a_list_or_nothing(registry):
    registry.register("untagged", Base, tags=None)
    assert registry.list_with_tags()["untagged"] == []
    with pytest.raises(TypeError, match=r"tags='small': expected a list of strings: \['small'\]"):
        registry.register("tagged", Base, tags="small")


def test_it_is_a_collection_of_its_names(registry):
    assert len(registry) == 2
    assert list(registry) == ["base", "wide"]
    assert repr(registry) == "Registry(model: base, wide)"
    assert repr(Registry(name="loss")) == "Registry(loss: empty)"
    for name in registry:
        registry.unregister(name)
    assert len(registry) == 0


def test_taken_names(registry):
    registry.register("base", Base)
    with pytest.raises(ValueError, match="'base' is already Base"):
        registry.register("base", Wide)
    registry.register("base", Wide, force=True)
    assert registry.get("base") is Wide


def test_unknown_name_is_key_and_value_error_and_lists_names(registry):
    with pytest.raises(KeyError) as error:
        registry.get("wid")
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value, UnknownComponentError)
    line = str(error.value)
    assert all(word in line for word in ["'wid'", "did you mean 'wide'", "base, wide"])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"width": 0}, ["model base", "width=0", "1"]),
        ({"width": "x"}, ["width='x'", "integer"]),
        ({"kind": "c"}, ["kind='c'", "'a' or 'b'"]),
        ({"widht": 3}, ["widht=3", "did you mean 'width'", "width, kind, note"]),
    ],
)
def test_bad_parameters_are_one_line(registry, params, words):
    with pytest.raises(InputError) as error:
        registry.get("base", **params)
    line = str(error.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_tags_cannot_be_changed_from_outside(registry):
    assert registry.list_with_tags() == {"base": ["small"], "wide": []}
    registry.list_with_tags()["base"].append("hacked")
    assert registry.filter_by_tag("hacked") == []
    assert registry.filter_by_tag("small") == ["base"]


def test_unregister(registry):
    registry.unregister("wide")
    assert "wide" not in registry
    with pytest.raises(UnknownComponentError):
        registry.unregister("wide")


def test_schema_draws_a_form(registry):
    schema = registry.schema("base")
    assert schema["properties"]["width"]["minimum"] == 1
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["properties"]["width"]["default"] == 8
    assert schema["additionalProperties"] is False


@pytest.mark.slow
def test_of_threads_that_race_for_a_name_one_wins():
    for _ in range(20):
        registry = Registry(name="model")
        barrier = threading.Barrier(8)
        won: list[type] = []

        def claim(registry=registry, barrier=barrier, won=won) -> None:
            mine = type("Mine", (nn.Module,), {})
            barrier.wait()
            try:
                registry.register("name", mine)
                won.append(mine)
            except ValueError:
                pass

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [registry.get("name")]
