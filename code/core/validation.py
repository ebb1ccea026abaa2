"""Validation by pydantic, with errors of one line that a user can act on."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError

Model = TypeVar("Model", bound=BaseModel)
_LONGEST_VALUE = 200


class Settings(BaseModel):
    """Base of typed settings: unknown keys are refused, and values cannot be changed later."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        validate_default=True,
        # An experiment may be called 20261128.
        coerce_numbers_to_str=True,
    )


@dataclass(frozen=True)
class OnlyWith:
    """Metadata of a parameter that does something only beside certain values of others.

    One of `keys` must have one of `values`; without values, it must be neither false nor empty.
    """

    keys: tuple[str, ...]
    values: tuple[Any, ...] = ()

    def holds(self, given: Mapping[str, Any]) -> bool:
        """Whether the parameter does something beside what is given."""
        found = [given.get(key) for key in self.keys]
        return any(value in self.values if self.values else bool(value) for value in found)

    def __str__(self) -> str:
        return f"{self.keys[0]}={self.values[0]}" if self.values else self.keys[0]

    @property
    def remedy(self) -> str:
        """What to do about a parameter that does nothing."""
        return "leave it out, or give both"


@dataclass(frozen=True)
class OnlyForItems(OnlyWith):
    """Metadata of a parameter for those items of a list, `keys[0]`, that do not set their own."""

    own: str = ""

    def holds(self, given: Mapping[str, Any]) -> bool:
        """Whether the parameter does something beside what is given."""
        return any(self.own not in item for item in given.get(self.keys[0]) or ())

    def __str__(self) -> str:
        return f"{self.keys[0]} that leave {self.own} out"

    @property
    def remedy(self) -> str:
        """What to do about a parameter that does nothing."""
        return "leave it out, or theirs"


def is_installed(package: str) -> bool:
    """Whether an optional package can be imported; a folder of that name is none."""
    return getattr(find_spec(package), "origin", None) is not None


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` if a known name is close to `name`, else an empty string.

    For a name that looks the same, in another normal form of Unicode, it says what differs.
    """
    name, known = str(name), list(known)
    shown = unicodedata.normalize("NFKC", name)
    alike = [other for other in known if unicodedata.normalize("NFKC", other) == shown]
    if alike and name not in alike:
        own, other = _differing(name, alike[0])
        return f" (did you mean {alike[0]!r}, which has {other} where this name has {own}?)"
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    matches += [other for other in known if len(name) > 2 and other.startswith(name)]
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _differing(name: str, other: str) -> tuple[str, str]:
    """The code points of each between what the two begin with and what they end with."""
    edits = difflib.SequenceMatcher(None, name, other, autojunk=False).get_opcodes()
    edits = [edit for edit in edits if edit[0] != "equal"]
    parts = (name[edits[0][1] : edits[-1][2]], other[edits[0][3] : edits[-1][4]])
    own, others = (" ".join(f"U+{ord(letter):04X}" for letter in part) for part in parts)
    return own or "nothing", others or "nothing"


def validate(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """Build `model` from `values`.

    Raises:
        InputError: names `where` (such as `loss focal_loss`, or `training.` for its keys), the key,
            the value, what was expected, and the nearest known key for an unknown one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(error, model, where)) from None


def _one_line(error: ValidationError, model: type[BaseModel], where: str) -> str:
    # A union has an error for each of its members; the deepest one says most.
    details = error.errors(include_url=False)
    details = [d for d in details if d["loc"][:1] == details[0]["loc"][:1]]
    first = max(details, key=lambda detail: len(_key_path(model, detail["loc"])[0]))
    path, owner = _key_path(model, first["loc"])
    if first["type"] == "extra_forbidden":
        unknown, known = str(first["loc"][-1]), list(owner.model_fields)
        key = ".".join([*path, unknown])
        close, names = nearest(unknown, known), ", ".join(known) or "none"
        value = _short(first["input"])
        return f"{_place(where, key)}={value}: unknown key{close}; known keys: {names}"
    key = ".".join(path)
    if first["type"] == "missing":
        full = f"{where}{key}" if where.endswith(".") else key
        return f"{_place(where, key)} is missing: give {full}=VALUE"
    messages = []
    for detail in details:
        if _key_path(model, detail["loc"])[0] == path:
            message = detail["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            if message not in messages:
                messages.append(message)
    return f"{_place(where, key or 'value')}={_short(first['input'])}: {' or '.join(messages)}"


def _place(where: str, key: str) -> str:
    """A key of a section as it is given on the command line, and that of anything else."""
    return f"{where}{key}" if where.endswith(".") else f"{where}: {key}"


def _short(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _key_path(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[list[str], type[BaseModel]]:
    """The keys in `loc` without pydantic's names of union members, and the innermost settings."""
    path: list[str] = []
    for part in loc:
        if isinstance(part, int):
            path.append(str(part))
        elif field := model.model_fields.get(part):
            path.append(part)
            model = _settings_in(field.annotation, model)
    return path, model


def _settings_in(annotation: Any, default: type[BaseModel]) -> type[BaseModel]:
    """The settings class inside an annotation such as `Rotation | None`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return default
