"""The one generic registry: components by name, validated by their constructor's signature."""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, create_model
from torch import nn

from core.errors import InputError, defined_at
from core.validation import nearest, validate

T = TypeVar("T")


class UnknownComponentError(InputError, KeyError):
    """No component has this name. A KeyError and a ValueError, so either idiom catches it."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """What the registry knows about one component."""

    component: type[T]
    description: str
    tags: tuple[str, ...]


class Registry(Generic[T]):
    """Named subclasses of `base_class`; an experiment chooses one of them by its name.

    Parameters of a component are the arguments of its constructor, with types, defaults and
    bounds in the signature (`gamma: Annotated[float, Field(ge=0)] = 2.0`). A constructor that
    ends in `**options` also has the parameters of the base class that it hands them to.
    """

    def __init__(self, base_class: type = nn.Module, name: str = "components") -> None:
        self.base_class = base_class
        self.name = name
        self._entries: dict[str, Entry[T]] = {}
        self._lock = threading.RLock()
        self.importing = False
        self.broken: dict[Path, str] = {}
        """What is wrong with each file that could not be imported."""
        self.clashes: dict[str, str] = {}
        """What is wrong with each name that two files registered while they were imported."""

    def register(
        self,
        name: str | None = None,
        component: type[T] | None = None,
        *,
        tags: Iterable[str] | None = None,
        description: str = "",
        force: bool = False,
    ) -> Callable[[type[T]], type[T]] | type[T]:
        """Register a class, as `@registry.register("name")` or `registry.register("name", Class)`.

        Without a name, the class name. Without a description, the docstring's first line.

        Raises:
            TypeError: the name or a tag is not a string, or the component is not a subclass of
                `base_class`.
            ValueError: the name belongs to another class, and `force` is false.
        """
        if name is not None and not (isinstance(name, str) and name):
            raise TypeError(
                f"{self.name}: name {name!r}: expected a string, as in @registry.register('name')"
            )
        if isinstance(tags, str):
            raise TypeError(f"{self.name}: tags={tags!r}: expected a list of strings: [{tags!r}]")

        def add(cls: type[T]) -> type[T]:
            if not (isinstance(cls, type) and issubclass(cls, self.base_class)):
                raise TypeError(
                    f"{self.name}: {cls!r} is not a subclass of {self.base_class.__name__}"
                )
            summary = description or (inspect.getdoc(cls) or "").partition("\n")[0]
            self._add(name or cls.__name__, Entry(cls, summary, tuple(tags or ())), force)
            return cls

        return add if component is None else add(component)

    def unregister(self, name: str) -> None:
        """Forget `name`. Raises UnknownComponentError if there is no such component."""
        with self._lock:
            self._entry(name)
            del self._entries[name]

    def get(self, name: str, *args: Any, **params: Any) -> Any:
        """The class of that name; with arguments, an instance built with them."""
        if args or params:
            return self.instantiate(name, *args, **params)
        return self._entry(name).component

    def instantiate(self, name: str, *args: Any, **params: Any) -> T:
        """Validate the arguments against the constructor's signature and build the component.

        Raises:
            UnknownComponentError: no component has that name.
            InputError: an unknown parameter, a value outside its type or bounds, or a name that two
                files registered.
            TypeError: too many positional arguments, or an argument given twice.
        """
        component = self._entry(name).component
        if name in self.clashes:
            raise InputError(self.clashes[name])
        args, params = checked_arguments(component, f"{self.name} {name}", args, params)
        return component(*args, **params)

    def list(self) -> list[str]:
        """The names, sorted."""
        with self._lock:
            return sorted(self._entries)

    def list_with_tags(self) -> dict[str, list[str]]:
        """Each name with a copy of its tags; untagged: an empty list."""
        with self._lock:
            return {name: list(self._entries[name].tags) for name in self.list()}

    def filter_by_tag(self, tag: str) -> list[str]:
        """The names that carry `tag`, sorted."""
        return [name for name, tags in self.list_with_tags().items() if tag in tags]

    def description(self, name: str) -> str:
        """One line on what the component is."""
        return self._entry(name).description

    def parameters(self, name: str) -> type[BaseModel]:
        """A pydantic model of the constructor's arguments."""
        return constructor_model(self._entry(name).component, name)

    def defaults(self, name: str) -> dict[str, Any]:
        """The default of each parameter; `???`, Hydra's mark for a missing value, without one."""
        fields = self.parameters(name).model_fields
        return {key: "???" if f.is_required() else f.default for key, f in fields.items()}

    def schema(self, name: str) -> dict[str, Any]:
        """A JSON Schema of the parameters, from which a form can be drawn."""
        return self.parameters(name).model_json_schema()

    def why_missing(self, name: str) -> str | None:
        """That a broken file mentions the name, which is therefore not known; else None."""
        word = re.compile(rf"\b{re.escape(str(name))}\b")
        for file, problem in self.broken.items():
            if word.search(f"{file.stem} {file.read_text(errors='replace')}"):
                return f"{name!r} is not available: {problem}: correct this file"
        return None

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return isinstance(name, str) and name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {', '.join(self) or 'empty'})"

    def _add(self, name: str, entry: Entry[T], force: bool) -> None:
        with self._lock:
            taken = self._entries.get(name)
            if taken and taken.component is not entry.component and not force:
                problem = (
                    f"{self.name}: {name!r} is already {taken.component.__qualname__} "
                    f"({defined_at(taken.component)}): choose another name or pass force=True for "
                    f"{entry.component.__qualname__} ({defined_at(entry.component)})"
                )
                if not self.importing:
                    raise ValueError(problem)
                self.clashes[name] = problem
                return
            self._entries[name] = entry

    def _entry(self, name: str) -> Entry[T]:
        with self._lock:
            if name in self:
                return self._entries[name]
            known = self.list()
        problem = self.why_missing(name) or (
            f"unknown name {name!r}{nearest(name, known)}; "
            f"known names: {', '.join(known) or 'none'}"
        )
        raise UnknownComponentError(f"{self.name}: {problem}")


@functools.cache
def constructor_model(component: type, name: str) -> type[BaseModel]:
    """A pydantic model, called `name`, of the arguments of the component's constructor.

    Any further keyword is accepted where the last constructor before nn.Module ends in `**options`.
    """
    fields: dict[str, Any] = {}
    is_open = False
    for cls in component.__mro__:
        if cls in (nn.Module, object):
            break
        if "__init__" not in vars(cls):
            continue
        own = list(inspect.signature(cls.__init__, eval_str=True).parameters.values())[1:]
        for each in own:
            if each.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                annotation = Any if each.annotation is Parameter.empty else each.annotation
                default = ... if each.default is Parameter.empty else each.default
                fields.setdefault(each.name, (annotation, default))
        is_open = any(each.kind is Parameter.VAR_KEYWORD for each in own)
        if not is_open:
            break
    config = ConfigDict(
        extra="allow" if is_open else "forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )
    return create_model(name, __config__=config, **fields)


def checked_arguments(
    component: type, where: str, args: Sequence[Any], params: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the component's constructor, each within its type and bounds.

    Raises:
        InputError: names `where`, the parameter, its value, and what was expected.
        TypeError: too many positional arguments, or an argument given twice.
    """
    signature = inspect.signature(component)
    named = {key: value for key, value in params.items() if key in signature.parameters}
    bound = signature.bind_partial(*args, **named)
    model = constructor_model(component, component.__name__)
    given = {key: value for key, value in bound.arguments.items() if key in model.model_fields}
    checked = validate(model, given | {**params}, where)
    values = {key: getattr(checked, key) for key in checked.model_fields_set}
    bound.arguments |= {key: values.pop(key) for key in given}
    return bound.args, bound.kwargs | values
