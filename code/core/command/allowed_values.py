"""The values that a key takes, in words, from the JSON Schema of its settings or component."""

from collections.abc import Mapping
from typing import Any

_TYPES = {
    "null": "null",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "object": "keys with values",
}
_PLURALS = {"a whole number": "whole numbers", "a number": "numbers"}
# Bounds by the names of JSON Schema: one alone, and two together.
_ALONE = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "below",
}
_BETWEEN = {"minimum": "from", "maximum": "to", "exclusiveMaximum": "to below"}
_ABOVE = {"exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "and below"}
# What nobody needs to be told of a key whose default is shown.
_OBVIOUS = ("text", "true or false")


def allowed_values(schema: Mapping[str, Any]) -> str:
    """What a key takes, such as `a number from 0 to 1`, `mean, sum or none`, `text or null`.

    `schema` is that of its property. Nothing for a plain text, or for true and false.
    """
    known = list(dict.fromkeys(filter(None, _choices(schema))))
    text = " or ".join(filter(None, [", ".join(known[:-1]), *known[-1:]]))
    return "" if text in _OBVIOUS else text


def _choices(schema: Mapping[str, Any]) -> list[str]:
    if "anyOf" in schema:
        return [text for each in schema["anyOf"] for text in _choices(each)]
    if "const" in schema or "enum" in schema:
        values = schema.get("enum") or [schema["const"]]
        return [str(each).lower() if isinstance(each, bool) else str(each) for each in values]
    kind = schema.get("type", "")
    if kind == "boolean":
        return ["true", "false"]
    return [_list(schema) if kind == "array" else _TYPES.get(kind, "") + _bounds(schema)]


def _bounds(schema: Mapping[str, Any]) -> str:
    bounds = {key: f"{schema[key]:.12g}" for key in _ALONE if key in schema}
    words = _ALONE
    if len(bounds) > 1:
        words = _BETWEEN if "minimum" in bounds else _ABOVE
    return "".join(f" {words[key]} {value}" for key, value in bounds.items())


def _list(schema: Mapping[str, Any]) -> str:
    items = schema.get("prefixItems") or [schema.get("items", {})]
    described = " or ".join(_choices(items[0]))
    for singular, plural in _PLURALS.items():
        described = described.replace(singular, plural)
    count = f"{len(items)} " if "prefixItems" in schema else ""
    return f"a list of {count}{described}" if described else "a list"
