"""Choices that were measured before, in files of the user's cache folder."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.errors import InputError
from core.files.reading import read_json
from core.files.user_cache import user_cache_folder
from core.files.writing import to_json, write_json

log = logging.getLogger(__name__)

# Goes up when what is measured, or how, changes.
_VERSION = 1


def recall(key: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was kept for exactly this key; None: nothing, or a file that is damaged."""
    file, known = _file(key), _known(key)
    if not file.is_file():
        return None
    try:
        content = read_json(file)
    except InputError as error:
        log.info("Measured again: %s", error)
        return None
    if not isinstance(content, dict) or content.get("key") != known:
        return None
    choice = content.get("choice")
    return choice if isinstance(choice, dict) else None


def keep(key: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
    """Keep a choice; where the folder cannot be written to, it is measured again next time."""
    try:
        write_json(_file(key), {"key": _known(key), "choice": choice})
    except (InputError, OSError) as error:
        log.info("The choice is not remembered: %s", error)


def machine_key(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of an environment decides how fast a network is: `describe_environment` returns one."""
    packages = environment["packages"]
    return {
        "hardware": environment["hardware"],
        "capabilities": torch.cpu.get_capabilities(),
        "versions": {name: packages.get(name) for name in ("torch", "timm")},
        "project": (environment["git"] or {}).get("commit"),
    }


def _known(key: Mapping[str, Any]) -> Any:
    return to_json({"version": _VERSION, **key})


def _file(key: Mapping[str, Any]) -> Path:
    """One file for each key: two processes never write the same one with different content."""
    text = json.dumps(_known(key), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    return user_cache_folder() / "computation" / f"{digest}.json"
