"""The store of generated strips: made once, reused, safe in a race and after an interruption."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from core.errors import InputError
from core.synthetic import generator, store
from core.synthetic.generator import StripSettings, generate_strips
from core.synthetic.store import ensure_strips
from core.synthetic.strip import draw_strip

SETTINGS = StripSettings(12, (32, 160), class_shares="flat", seed=1)


def visible(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir() if not path.name.startswith("."))


def test_strips_are_made_once_and_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure_strips(tmp_path, SETTINGS)
    times = {path: path.stat().st_mtime_ns for path in first.rglob("*")}

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("generated again")

    monkeypatch.setattr(store, "generate_strips", refuse)
    assert ensure_strips(tmp_path, SETTINGS) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == times
    assert list(tmp_path.iterdir()) == [first], "nothing temporary is left"


@pytest.mark.parametrize(
    "change",
    [
        {"num_images": 13},
        {"image_size": (32, 170)},
        {"class_shares": "natural"},
        {"class_shares": (0.3, 0.3, 0.2, 0.1)},
        {"seed": 2},
    ],
)
def test_other_settings_have_another_folder(tmp_path: Path, change: dict) -> None:
    first = ensure_strips(tmp_path, SETTINGS)
    second = ensure_strips(tmp_path, replace(SETTINGS, **change))
    assert first != second
    assert visible(tmp_path) == sorted([first.name, second.name])


def test_numpy_and_list_settings_name_the_same_folder(tmp_path: Path) -> None:
    shares = (0.3, 0.3, 0.2, 0.1)
    first = ensure_strips(tmp_path, replace(SETTINGS, class_shares=shares))
    again = ensure_strips(
        tmp_path, replace(SETTINGS, class_shares=np.array(shares), image_size=[32, 160])
    )
    assert first == again


def test_the_name_says_what_is_inside(tmp_path: Path) -> None:
    name = ensure_strips(tmp_path, SETTINGS).name
    assert name.startswith("flat_12_32x160_seed1_")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_generation_leaves_nothing(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(range(5))

    def interrupted(*arguments: object) -> tuple:
        if next(drawn, None) is None:
            raise error("stop")
        return draw_strip(*arguments)

    monkeypatch.setattr(generator, "draw_strip", interrupted)
    with pytest.raises(error):
        ensure_strips(tmp_path, SETTINGS)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(generator, "draw_strip", draw_strip)
    folder = ensure_strips(tmp_path, SETTINGS)
    assert len(list((folder / "train_images").iterdir())) == 12


def test_a_killed_generation_is_not_taken_for_complete(tmp_path: Path) -> None:
    """What a kill leaves behind is a hidden folder of another name, and is never read."""
    folder = ensure_strips(tmp_path, SETTINGS)
    remains = tmp_path / f".{folder.name}.abcd.part"
    folder.rename(remains)
    (remains / "train.csv").unlink()
    assert ensure_strips(tmp_path, SETTINGS) == folder
    assert (folder / "train.csv").is_file()
    assert visible(tmp_path) == [folder.name]


def test_two_that_race_end_with_one_complete_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet = threading.Barrier(2)
    folders: list[Path] = []
    errors: list[BaseException] = []

    def wait(*arguments: object) -> Path:
        made = generate_strips(*arguments)
        meet.wait(timeout=60)
        return made

    monkeypatch.setattr(store, "generate_strips", wait)

    def run() -> None:
        try:
            folders.append(ensure_strips(tmp_path, SETTINGS))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert folders[0] == folders[1]
    assert list(tmp_path.iterdir()) == [folders[0]]
    assert len(list((folders[0] / "train_images").iterdir())) == 12


@pytest.mark.parametrize("missing", ["train.csv", "manifest.json", "train_images"])
def test_a_damaged_folder_is_named_and_left_alone(tmp_path: Path, missing: str) -> None:
    folder = ensure_strips(tmp_path, SETTINGS)
    if missing == "train_images":
        next((folder / missing).iterdir()).unlink()
    else:
        (folder / missing).unlink()
    left = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError, match="remove the folder to generate it again") as caught:
        ensure_strips(tmp_path, SETTINGS)
    assert str(folder) in str(caught.value)
    assert sorted(path.name for path in folder.rglob("*")) == left


def test_a_base_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    base = tmp_path / "taken"
    base.write_text("a file")
    with pytest.raises(InputError, match="cannot write generated strips there"):
        ensure_strips(base, SETTINGS)


def test_quiet_off_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensure_strips(tmp_path, SETTINGS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("file", ["image", "train.csv"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    file: str, num_workers: int, tmp_path: Path
) -> None:
    """Files of this process may not grow beyond the limit, as on a disk that is full."""
    # Of 100 strips the largest image has 4 kB, and train.csv 23 kB.
    size = 500 if file == "image" else 10_000
    settings = SETTINGS if file == "image" else replace(SETTINGS, num_images=100, seed=3)
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from core.command.mistakes import run_command\n"
        "from core.synthetic.generator import StripSettings\n"
        "from core.synthetic.store import ensure_strips\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"settings = StripSettings({settings.num_images}, (32, 160), 'flat', {settings.seed})\n"
        "if __name__ == '__main__':\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        f"    run_command(lambda: ensure_strips(Path(sys.argv[1]), settings, {num_workers}))\n"
    )
    script = tmp_path / "fill.py"
    script.write_text(program)
    base = tmp_path / "base"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "code")}
    ended = subprocess.run(
        [sys.executable, str(script), str(base)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    assert f"{base}: generated strips cannot be written there (File too large)" in line
    assert not list(base.iterdir())
    assert len(list((ensure_strips(base, settings) / "train_images").iterdir())) > 11


def test_an_image_without_content_is_missing(tmp_path: Path) -> None:
    folder = ensure_strips(tmp_path, SETTINGS)
    next((folder / "train_images").iterdir()).write_bytes(b"")
    with pytest.raises(InputError, match="11 of 12 generated strips are there"):
        ensure_strips(tmp_path, SETTINGS)
