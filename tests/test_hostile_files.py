"""Files made to do harm: each is refused in one line, in little time and memory."""

import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY

from core.analysis.strips import grey_image
from core.data.annotations import read_label_table
from core.data.images import check_header, read_image
from core.data.kaggle_csv import read_kaggle_csv
from core.errors import InputError
from core.experiments.reading import read_all
from core.experiments.strips import ImageFolder
from core.files.reading import MEBIBYTE

SIZE = (64, 320)


def png(height: int, width: int, *chunks: tuple[bytes, bytes], pixels: bytes) -> bytes:
    """A PNG that says it has that size, whatever is in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    everything = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in everything
    )


@cache
def bomb() -> bytes:
    """256 MiB of zeros, compressed a thousandfold."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(MEBIBYTE)) for _ in range(256)]
    return b"".join([*parts, packer.flush()])


ROWS = zlib.compress(bytes(64 * 321))
JPEG = cv2.imencode(".jpg", np.zeros(SIZE, np.uint8))[1].tobytes()
FRAME = JPEG.index(b"\xff\xc0") + 5
IMAGES = {
    "100,000 x 100,000 pixels": lambda: png(100_000, 100_000, pixels=zlib.compress(bytes(1000))),
    "100,000 x 100,000 pixels that are there": lambda: png(100_000, 100_000, pixels=bomb()),
    "65,000 x 65,000 pixels": lambda: (
        JPEG[:FRAME] + struct.pack(">HH", 65_000, 65_000) + JPEG[FRAME + 4 :]
    ),
    "a profile of 256 MiB": lambda: png(*SIZE, (b"iCCP", b"a\0\0" + bomb()), pixels=ROWS),
    "a text of 256 MiB": lambda: png(*SIZE, (b"zTXt", b"a\0\0" + bomb()), pixels=ROWS),
    "more pixels than it says": lambda: png(*SIZE, pixels=bomb()),
}

# In a process of its own, whose address space is too small for what the file would take.
READ = """
import resource, sys
from pathlib import Path
from core.data.images import read_image
from core.errors import InputError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20),) * 2)
try:
    print("read", read_image(Path(sys.argv[1]), (64, 320)).shape)
except InputError as error:
    print("refused", error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_images_that_would_fill_the_memory(name, tmp_path):
    path = tmp_path / "strip.png"
    path.write_bytes(IMAGES[name]())
    ended = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        cwd=REPOSITORY / "code",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.strip().splitlines()
    # What hides a bomb in a comment has a right image all the same.
    assert line.startswith(("refused", "read (64, 320)"))
    if "000 pixels" in name:
        assert "refused" in line
        assert "expected 64x320" in line


@pytest.mark.parametrize("read", [check_header, read_image])
def test_an_image_file_larger_than_any_image_is_not_read(read, tmp_path):
    path = tmp_path / "strip.jpg"
    path.write_bytes(JPEG)
    with path.open("r+b") as stream:
        stream.truncate(4096 * MEBIBYTE)
    tracemalloc.start()
    with pytest.raises(InputError, match="4294967296 bytes; expected at most"):
        read(path, SIZE)
    assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    tracemalloc.stop()


@pytest.mark.parametrize("num_mebibytes", [5, 1024])
def test_a_field_of_a_table_that_would_fill_the_memory(num_mebibytes, tmp_path):
    """1 GiB by the size of the file; 5 MiB by the length of its line, of which 4 are read."""
    path = tmp_path / "train.csv"
    path.write_bytes(b"ImageId,ClassId,EncodedPixels\na.jpg,1,")
    with path.open("ab") as stream:
        if num_mebibytes < 100:
            stream.write(b"1 2 " * (num_mebibytes * MEBIBYTE // 4))
        stream.truncate(max(stream.tell(), num_mebibytes * MEBIBYTE))
    images = {name: name for name in ["a.jpg", *(f"{k}.jpg" for k in range(100))]}
    tracemalloc.start()
    with pytest.raises(InputError, match=r"expected a row|expected at most"):
        read_kaggle_csv(path, images, None, SIZE)
    assert tracemalloc.get_traced_memory()[1] < 16 * MEBIBYTE
    tracemalloc.stop()


IDS = [
    "../../etc/passwd", "/etc/passwd", "..", "a/b.jpg", "C:\\x.jpg", "a\0.jpg", "=cmd()",
    "@sum.jpg", "\u202egpj.exe", "x" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("image_id", IDS)
@pytest.mark.parametrize("layout", ["train.csv", "labels.csv"])
def test_image_ids_that_lead_elsewhere(image_id, layout, tmp_path):
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images" / "a.jpg").write_bytes(JPEG)
    rows = {
        "train.csv": ["ImageId,ClassId,EncodedPixels", f"{image_id},1,1 2"],
        "labels.csv": ["ImageId,pit", f"{image_id},1"],
    }
    (tmp_path / layout).write_text("\n".join(rows[layout]))
    with pytest.raises(InputError, match="line 2") as caught:
        read_label_table(tmp_path, image_size=SIZE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("image_id", [*IDS, "secret.jpg/../../secret.jpg"])
def test_pictures_of_a_report_come_from_the_data_alone(image_id, tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "data" / "huge.png").write_bytes(IMAGES["100,000 x 100,000 pixels"]())
    folder = ImageFolder(tmp_path / "data")
    assert grey_image(folder, image_id) is None
    assert grey_image(folder, "../secret.jpg") is None
    assert grey_image(folder, str(tmp_path / "secret.jpg")) is None
    assert grey_image(folder, "huge.png") is None


def test_results_nested_deep_are_left_out_of_a_comparison(tmp_path):
    for number, text in enumerate(("[" * 100_000, '{"a":' * 100_000, '{"config": ' + "[" * 500)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "results.json").write_text(text)
    experiments, problems = read_all(sorted(tmp_path.iterdir()))
    assert not experiments
    assert len(problems) == 3
    assert all("results.json" in line and len(line) < 300 for line in problems)


def test_a_config_with_a_tag_is_refused_and_runs_nothing(train_command, tmp_path):
    (tmp_path / "config.yaml").write_text(
        f"model: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'ran'}']\n"
    )
    ended = train_command(f"resume={tmp_path}")
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "config.yaml line 1: a tag" in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_an_experiment_file_with_a_tag_is_refused_and_runs_nothing(train_command, tmp_path):
    configs = tmp_path / "config"
    shutil.copytree(REPOSITORY / "config", configs)
    (configs / "experiment" / "evil.yaml").write_text(
        f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'ran'}']\n"
    )
    ended = train_command("--config-dir", str(configs), "experiment=evil")
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "python/object" in line
    assert not (tmp_path / "ran").exists()


def test_links_in_a_data_set_are_followed_and_never_written_through(tmp_path):
    """Data sets are kept elsewhere and linked; what a link leads to must be an image."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "a.jpg").write_bytes(JPEG)
    root = tmp_path / "root"
    root.mkdir()
    (root / "train_images").symlink_to(kept)
    (root / "labels.csv").write_text("ImageId,pit\na.jpg,1\n")
    assert read_label_table(root, image_size=SIZE).image_ids == ("a.jpg",)
    (kept / "a.jpg").unlink()
    (kept / "a.jpg").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"a\.jpg: not an image"):
        read_label_table(root, image_size=SIZE)
