"""What Hydra composes is composed once in a process, until a value or a file of it changes.

The suite composes more than a thousand configs, of few choices of groups: finding and merging the
files takes nine tenths of the time of each. Values are set each time, in a copy.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigNode, ConfigStore

# Hydra's own.
find = config_loader_impl.create_defaults_list
merge = ConfigLoaderImpl._compose_config_from_defaults_list


@contextmanager
def composed_once() -> Iterator[None]:
    lists: dict[tuple, tuple] = {}
    configs: dict[int, Any] = {}

    def find_once(repo, config_name, overrides_list, **how):
        given = [one for one in overrides_list if not one.is_sweep_override()]
        groups = [one for one in given if _chooses(repo, one)]
        nodes = list(_nodes(ConfigStore.instance().repo))
        key = (
            config_name,
            *how.values(),
            *(one.input_line for one in groups),
            *map(id, nodes),
            *_files(repo.get_sources()),
        )
        if key not in lists:
            lists[key] = find(repo, config_name, groups, **how), nodes  # kept, so are their ids
        values = [one for one in given if one not in groups]
        return replace(lists[key][0], config_overrides=values)

    def merge_once(self, defaults, repo):
        if id(defaults) not in configs:
            configs[id(defaults)] = merge(self, defaults, repo)
        return copy.deepcopy(configs[id(defaults)])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(config_loader_impl, "create_defaults_list", find_once)
        patched.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once)
        patched.setattr(ConfigStore, "store", _store_what_is_new(ConfigStore.store))
        yield


def _store_what_is_new(store):
    """Each command offers all components: what is there already stays the same object."""
    known: dict[tuple, tuple] = {}

    def store_new(self, name, node, group=None, package=None, provider=None):
        place = self._open(group or "") or {}
        file = f"{name.removesuffix('.yaml')}.yaml"
        key = (group, file)
        stored, *given = known.get(key, (None,))
        if stored is not None and stored is place.get(file) and given == [node, package, provider]:
            return
        store(self, name, node, group, package, provider)
        stored = self._open(f"{group or ''}/{file}")
        known[key] = stored, copy.deepcopy(node), package, provider

    return store_new


def _chooses(repo, override) -> bool:
    """Whether it chooses one of a group's files, and is no value."""
    return repo.group_exists(override.key_or_group) and not isinstance(override.value(), dict)


def _nodes(repo: dict[str, Any]) -> Iterator[ConfigNode]:
    for value in repo.values():
        yield from _nodes(value) if isinstance(value, dict) else [value]


def _files(sources: Sequence[Any]) -> Iterator[tuple]:
    """The files of the folders of configs, and when each was written."""
    for source in sources:
        yield source.scheme(), source.path
        if source.scheme() == "file":
            for folder, _, names in os.walk(source.path):
                for path in (Path(folder, name) for name in names):
                    yield str(path), path.stat().st_mtime_ns, path.stat().st_size
