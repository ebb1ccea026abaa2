"""The one generic registry: components by name, validated by their constructor's signature."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, create_model
from torch import nn

from core.errors import InputError
from core.validation import nearest, validate

T = TypeVar("T")


class UnknownComponentError(InputError, KeyError):
    """No component has this name. A KeyError and a ValueError, so either idiom catches it."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """What the registry knows of one component."""

    component: type[T]
    description: str
    tags: tuple[str, ...]


class Registry(Generic[T]):
    """Named subclasses of `base_class`; an experiment chooses one of them by its name.

    Parameters of a component are the keyword arguments of its constructor, with types, defaults
    and bounds in the signature (`gamma: Annotated[float, Field(ge=0)] = 2.0`). A constructor that
    ends in `**options` also has the parameters of the base class that it hands them to.
    """

    def __init__(self, base_class: type = nn.Module, name: str = "components") -> None:
        self.base_class = base_class
        self.name = name
        self._entries: dict[str, Entry[T]] = {}
        self._lock = threading.RLock()

    def register(
        self,
        name: str | None = None,
        component: type[T] | None = None,
        *,
        tags: Iterable[str] = (),
        description: str = "",
        force: bool = False,
    ) -> Callable[[type[T]], type[T]] | type[T]:
        """Register a class, as `@registry.register("name")` or `registry.register("name", Class)`.

        Raises:
            TypeError: the component is not a subclass of `base_class`.
            ValueError: the name is taken by another class, and `force` is false.
        """

        def add(cls: type[T]) -> type[T]:
            if not (isinstance(cls, type) and issubclass(cls, self.base_class)):
                raise TypeError(
                    f"{self.name}: {cls!r} is not a subclass of {self.base_class.__name__}"
                )
            chosen = name or cls.__name__
            summary = description or (inspect.getdoc(cls) or "").partition("\n")[0]
            with self._lock:
                taken = self._entries.get(chosen)
                if taken and taken.component is not cls and not force:
                    raise ValueError(
                        f"{self.name}: {chosen!r} is already {taken.component.__qualname__}: "
                        "choose another name or pass force=True"
                    )
                self._entries[chosen] = Entry(cls, summary, tuple(tags))
            return cls

        return add if component is None else add(component)

    def unregister(self, name: str) -> None:
        """Forget `name`. Raises UnknownComponentError if there is no such component."""
        with self._lock:
            self._entry(name)
            del self._entries[name]

    def get(self, name: str, **params: Any) -> Any:
        """The class of that name; with params, an instance built with them."""
        return self.instantiate(name, **params) if params else self._entry(name).component

    def instantiate(self, name: str, **params: Any) -> T:
        """Validate `params` against the constructor's signature and build the component.

        Raises:
            UnknownComponentError: no component of that name.
            InputError: an unknown parameter, or a value outside its type or bounds.
        """
        component = self._entry(name).component
        checked = validate(self.parameters(name), params, f"{self.name} {name}")
        given = {key: getattr(checked, key) for key in checked.model_fields_set}
        return component(**given)

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
        """A pydantic model of the constructor's keyword arguments."""
        fields, open_ended = _constructor_fields(self._entry(name).component)
        config = ConfigDict(
            extra="allow" if open_ended else "forbid",
            arbitrary_types_allowed=True,
            protected_namespaces=(),
        )
        return create_model(name, __config__=config, **fields)

    def defaults(self, name: str) -> dict[str, Any]:
        """Default of every parameter; `???`, Hydra's mark for a missing value, where none is."""
        fields = self.parameters(name).model_fields
        return {key: "???" if f.is_required() else f.default for key, f in fields.items()}

    def schema(self, name: str) -> dict[str, Any]:
        """A JSON Schema of the parameters, from which a form can be drawn."""
        return self.parameters(name).model_json_schema()

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._entries

    def _entry(self, name: str) -> Entry[T]:
        with self._lock:
            if name in self._entries:
                return self._entries[name]
            known = self.list()
        raise UnknownComponentError(
            f"{self.name}: unknown name {name!r}{nearest(name, known)}; "
            f"known names: {', '.join(known) or 'none'}"
        )


def _constructor_fields(component: type) -> tuple[dict[str, Any], bool]:
    """Fields for pydantic, and whether any further keyword is accepted."""
    fields: dict[str, Any] = {}
    for cls in component.__mro__:
        if "__init__" not in vars(cls):
            continue
        signature = inspect.signature(cls.__init__, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            empty = parameter.empty
            annotation = Any if parameter.annotation is empty else parameter.annotation
            default = ... if parameter.default is empty else parameter.default
            fields.setdefault(parameter.name, (annotation, default))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return fields, False
        if cls.__mro__[1] is nn.Module:
            return fields, True
    return fields, True
