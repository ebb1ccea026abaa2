"""Names from data: those that training refuses, and file names that stay in their folder."""

import ast
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.files.names import check_class_names, file_name, file_names

HOSTILE = [
    "../victim", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:\\x", "a\0b", "a\x1b[2J", "a\nb",
    "\u202egpj", "x" * 1000, "\u00e9" * 300, "a:b", "*", ".hidden", "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_file_name_stays_in_its_folder(text, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / f"{file_name(text)}_{file_names([text])[text]}.png"
    path.write_text("picture")
    assert [found.parent for found in tmp_path.rglob("*.png")] == [folder]
    assert len(path.name.encode(errors="surrogateescape")) < 230
    (folder / file_name(text)).write_text("alone")
    assert len(list(folder.iterdir())) == 2


@given(st.text())
def test_any_text_becomes_a_name_without_a_path(text):
    name = file_name(text)
    assert Path(name).name == name
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert file_name(name) == name


def test_plain_names_stay_as_they_are():
    for name in ("defect_1", "rolled-in scale", "Kratzer-äöü", "傷", "0002cc93b", "a.b"):
        assert file_name(name) == name


def test_different_texts_get_different_names():
    texts = ["a/b", "a_b", "A_B", "a_b_2", "../a", "x" * 80, "x" * 90, "a/b"]
    names = file_names(texts)
    assert list(names) == list(dict.fromkeys(texts))
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert names["a/b"] == "a_b"


@pytest.mark.parametrize("name", [name for name in HOSTILE if set(name) & set("/\\\0\x1b\n\u202e")])
def test_a_class_of_a_hostile_name_is_refused(name):
    with pytest.raises(InputError, match="letters, digits, spaces") as caught:
        check_class_names(["pit", name], "results.json")
    assert str(caught.value).isprintable()


# Where a path is made of a value that is not written in the code, and why that value is safe.
KNOWN = {
    "core/analysis/kept_masks.py": [  # constants; the name alone, and read only
        "experiment.path / FOLDER / name",
        "folder / Path(name).name",
    ],
    "core/analysis/page.py": ["Path(__file__).with_name(name)"],  # constants
    "core/analysis/pretraining_report.py": [  # constants
        "experiment.path / name",
        "folder / name",
    ],
    "core/analysis/report_summary.py": ["experiment.path / name"],  # constants
    "core/autotuning/remembered.py": [  # a hash
        "user_cache_folder() / 'computation' / f'{digest}.json'"
    ],
    "core/command/choosers.py": [  # given on the command line, and read only
        "config_dir / folder / f'{name}.yaml'"
    ],
    "core/command/catalogue.py": ["user_cache_folder() / f'components_{place}.json'"],  # a hash
    "core/data/sources.py": ["root / name"],  # constants
    "core/files/image_folders.py": ["root / name"],  # constants
    "core/data/duplicates.py": ["folder / f'descriptors_{len(paths)}_{key}.npz'"],  # a hash
    "core/data/conversion/writing.py": [  # names of files that are there, and of tables
        "folder / image.path.name",
        "output / name",
    ],
    "core/data/conversion/yolo.py": ["place / name"],  # constants
    "core/data/image_cache.py": [
        "places[path.parent] / path.name",  # only hashed
        "_CONTROL_GROUP / f'memory.{name}'",
        "folder / f'images_{len(paths)}_{height}x{width}x{data.channels}_{key}'",
    ],
    "core/data/settings.py": ["user_cache_folder() / f'{root.name}_{place}'"],  # a hash
    "core/experiments/reading.py": [  # only shown; read only
        "self.path / folds[0]['name']",
        "Path(str(results_dir)) / str(look_up(results, 'experiment', 'name') or 'experiment')",
    ],
    "core/workbench/launching/jobs.py": [  # a number; letters that are checked
        "self.folder / f'{number}.txt'",
        "state / 'steel_defects' / f'jobs_{machine}'",
    ],
    "core/workbench/launching/places.py": ["found.path / name"],  # constants
    "core/workbench/reviews.py": [  # hexadecimal, which is checked where it is read
        "folder / f'{fingerprint[:16]}.sqlite'"
    ],
    "core/workbench/strip_data.py": ["root / name"],  # constants
    "core/workbench/strip_maps.py": ["path / f\"fold_{int(row['fold'])}\""],  # a number
    "core/novelty/exporting.py": ["scratch / path.name"],  # of the command line
    "core/novelty/pictures.py": ["folder / f'{place:02d}_{file_name(Path(strip.image).stem)}.jpg'"],
    "core/experiments/strips.py": ["folder / image_id"],  # compared with its own name before
    "core/experiments/folder.py": [  # experiment.name, whose letters are checked
        "parent / (stem if attempt == 1 else f'{stem}_{attempt}')"
    ],
    "core/explaining/album.py": [  # made by file_name and file_names
        "self.folder / f'{numbered}_{name}.png'",
        "self.folder / f'{stem}_{names[heat.name]}.png'",
    ],
    "core/exporting/exporting.py": [  # names that the user gave, or of files that were written
        "file.with_name(f'{file.name}.parity.json')",
        "folder / bundle.name",
        "folder / f'model{suffix}'",
        "parent / file.name",
        "scratch / path.name",
    ],
    "core/exporting/int8.py": ["file.with_name(f'{file.name}.float32')"],
    "core/files/importing.py": [  # a file of the room that is imported
        "Path(found.module_finder.path) / f'{found.name}.py'"
    ],
    "core/predicting/prediction.py": ["folder / fold['name']"],  # checked by check_results
    "core/running/cross_validation.py": [
        "folder.path / f'fold_{number}'",
        "path / f'fold_{number}'",
    ],
    "core/search/space.py": ["folder / f'{name}.yaml'"],  # of the command line, and read only
    "core/search/study.py": ["folder / f'.trial_{number:03d}_lock'"],
    "core/synthetic/generator.py": ["images / name"],  # numbers
    "core/synthetic/store.py": ["Path(base) / folder_name(settings)"],  # numbers and a hash
    "core/training/callbacks.py": ["self.folder / f\"epoch_{record['epoch']:04d}.pt\""],  # numbers
    "core/training/checkpoint.py": ["self.folder / f'{which}.pt'"],  # best or last
    "core/training/classification/mask_examples.py": ["folder / names[kind]"],  # numbers
}
# In small letters, which constants are not in.
NAMED = re.compile(r"(name|image_id|label|stem|title)")
NUMBERS = ("sum", "mean", "max", "min")
RENAMING = ("with_name", "with_stem", "joinpath")


def paths_made_of_values(tree: ast.AST) -> list[str]:
    """Expressions that join a path with text put together, or with something called a name."""
    found = set()
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.right]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in RENAMING:
            parts = node.args
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Path", "open"):
            parts = [part for part in node.args if isinstance(part, ast.JoinedStr)]
        for part in parts:
            if isinstance(part, ast.Call) and getattr(part.func, "id", "") in ("file_name", "len"):
                continue
            number = isinstance(part, ast.Call) and getattr(part.func, "attr", "") in NUMBERS
            constant = isinstance(part, ast.Constant)
            composed = isinstance(part, ast.JoinedStr)
            if composed or (not (number or constant) and NAMED.search(ast.unparse(part))):
                found.add(ast.unparse(node))
    return sorted(found)


def test_no_path_is_made_of_a_name_from_data_unless_it_is_known_to_be_safe():
    """A new place appears here: pass its names through `core.files.names`, then add it above."""
    core = REPOSITORY / "code" / "core"
    unknown = []
    for path in sorted(core.rglob("*.py")):
        place = path.relative_to(REPOSITORY / "code").as_posix()
        for made in paths_made_of_values(ast.parse(path.read_text())):
            if made not in KNOWN.get(place, ()):
                unknown.append(f"{place}: {made}")
    assert not unknown


def test_the_sweep_finds_what_it_should():
    for line in ("folder / f'{name}.png'", "folder / class_name", "file.with_name(label + '.png')"):
        assert paths_made_of_values(ast.parse(line)) == [ast.unparse(ast.parse(line))]
    for line in ("a / 2", "folder / RESULTS_FILE", "folder / file_name(name)", "a / labels.sum()"):
        assert not paths_made_of_values(ast.parse(line))
