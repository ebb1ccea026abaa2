"""pydantic, with its errors as one line that a user can act on."""

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Base of typed settings: unknown keys refused, values frozen once validated."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known name is close to `name`, else the empty string."""
    matches = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def validate(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """Build `model` from `values`.

    Raises:
        InputError: names `where` (such as `loss focal_loss` or `training`), the key, the value,
            what was expected, and the nearest known key for an unknown one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(error, where, model.model_fields)) from None


def _one_line(error: ValidationError, where: str, known: Iterable[str]) -> str:
    known = list(known)
    details = error.errors(include_url=False)
    # A union reports one complaint per member under the same key: keep them together.
    first = details[0]
    key = ".".join(str(part) for part in first["loc"][:1]) or "value"
    if first["type"] == "extra_forbidden":
        expected = f"unknown key{nearest(key, known)}; known keys: {', '.join(known) or 'none'}"
        return f"{where}: {key}={first['input']!r}: {expected}"
    if first["type"] == "missing":
        return f"{where}: {key} is missing: give {key}=VALUE"
    messages = []
    for detail in details:
        if str(detail["loc"][:1]) == str(first["loc"][:1]):
            message = detail["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            if message not in messages:
                messages.append(message)
    return f"{where}: {key}={first['input']!r}: {' or '.join(messages)}"
