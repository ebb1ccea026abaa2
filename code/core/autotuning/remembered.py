"""Choices that were measured before, in files of the user's cache folder."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.files.user_cache import keep, kept, user_cache_folder
from core.files.writing import to_json

# Goes up when what is measured, or how, changes.
_VERSION = 1


def recall(key: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was kept for exactly this key; None: nothing, or a file that is damaged."""
    choice = kept(_file(key), _text(key))
    return choice if isinstance(choice, dict) else None


def remember(key: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
    """Keep a choice; where the folder cannot be written to, it is measured again next time."""
    keep(_file(key), _text(key), to_json(choice))


def machine_key(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of an environment decides how fast a network is: `describe_environment` returns one."""
    packages = environment["packages"]
    return {
        "hardware": environment["hardware"],
        "capabilities": torch.cpu.get_capabilities(),
        "versions": {name: packages.get(name) for name in ("torch", "timm")},
        "project": (environment["git"] or {}).get("commit"),
    }


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(to_json({"version": _VERSION, **key}), sort_keys=True)


def _file(key: Mapping[str, Any]) -> Path:
    """One file for each key: two processes never write the same one with different content."""
    digest = hashlib.sha256(_text(key).encode()).hexdigest()[:24]
    return user_cache_folder() / "computation" / f"{digest}.json"
