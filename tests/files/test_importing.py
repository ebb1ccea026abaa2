"""A broken file of a room stops only those who ask for what it holds."""

import importlib
import logging
import sys

import pytest
from torch import nn

from core.errors import InputError
from core.files.importing import import_files
from core.registry import Registry, UnknownComponentError

SOUND = """\
from torch import nn
from registry_of_{room} import registry

@registry.register("sound")
class Sound(nn.Module):
    pass
"""
OTHER = SOUND.replace("sound", "other")
BROKEN = {
    "syntax": (OTHER.replace("(nn.Module):", "(nn.Module)"), "line 5: SyntaxError: expected ':'"),
    "import": ("import nowhere\n" + OTHER, "line 1: ModuleNotFoundError: No module named 'nowhere"),
    "late": (OTHER + "\nundefined\n", "line 8: NameError: name 'undefined' is not defined"),
    "annotation": (
        OTHER.replace("    pass", "    def __init__(self, width: 'Wide' = 1):\n        pass"),
        "NameError: name 'Wide' is not defined",
    ),
}


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Make a package of these files, and import it; returns its registry and what was warned."""
    made = []

    def make(**files: str) -> Registry:
        name = f"room_{abs(hash(tmp_path))}"
        registry = Registry(name="model")
        holder = type(sys)(f"registry_of_{name}")
        holder.registry = registry
        monkeypatch.setitem(sys.modules, holder.__name__, holder)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text.replace("{room}", name))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
        made.append(name)
        importlib.invalidate_caches()
        import_files(name, importlib.import_module(name).__path__, registry)
        return registry

    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] in made]:
        del sys.modules[module]


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("file", ["a_file", "z_file"])
def test_a_broken_file(kind, file, room, caplog):
    text, problem = BROKEN[kind]
    with caplog.at_level(logging.WARNING):
        registry = room(sound=SOUND, **{file: text})
    (record,) = caplog.records
    assert f"{file}.py" in record.getMessage()
    assert problem in record.getMessage()
    assert registry.list() == ["sound"]
    assert isinstance(registry.get("sound")(), nn.Module)
    with pytest.raises(UnknownComponentError) as error:
        registry.get("other")
    assert problem in str(error.value)
    assert f"{file}.py" in str(error.value)
    with pytest.raises(UnknownComponentError, match=r"unknown name 'soud' \(did you mean 'sound'"):
        registry.get("soud")


def test_a_name_that_two_files_register(room, caplog):
    """Nobody else is stopped, and it is not chosen by the order of the files."""
    text = SOUND.replace("Sound", "Mine") + '\n@registry.register("more")\nclass More(Mine): pass\n'
    with caplog.at_level(logging.WARNING):
        registry = room(a_file=text, sound=SOUND)
    (record,) = caplog.records
    assert registry.list() == ["more", "sound"]
    for message in (record.getMessage(), registry.clashes["sound"]):
        assert all(word in message for word in ["'sound'", "a_file.py, line 4", "sound.py, line 4"])
    with pytest.raises(InputError, match="choose another name"):
        registry.instantiate("sound")
    assert registry.defaults("sound") == {}
    with pytest.raises(ValueError, match="is already"):
        registry.register("more", nn.ReLU)


def test_the_own_rooms_have_no_broken_file():
    from core.losses.registry import get_registry as losses
    from core.models.registry import get_registry as models

    for registry in (losses(), models()):
        assert not registry.broken
        assert not registry.clashes
