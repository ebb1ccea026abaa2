"""Data sets on disk that somebody damaged: a seeded mutator of small ones in each layout."""

import base64
import json
import os
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv, write_strips

NUM_IMAGES = 6
CELLS = [
    "", "0", "1", "2", "5", "-1", "1.0", "1e3", " 1 ", "nan", "NA", "None", "\u0661", "9" * 400,
    "1 2", "1 2 3", "1 2 2 2", "2049 1", "2048 1", "2048 2", "1 2,", "strip_000.jpg",
    "strip_000.jpg_1", "strip_001.jpg_x", "STRIP_000.JPG", "../../etc/passwd", "/etc/passwd", "..",
    "strip_000.jpg\0", "=cmd()", "@x", '=HYPERLINK("x")', "a\nb", '"', '""', "'", "\ufeff",
    "\u202e", "ImageId", "\r", "\t",
]  # fmt: skip
VALUES = [
    None, True, -1, 0, 1, 2.5, 10**400, 1e308, "", "defect_1", "defect_9", "bitmap", "x" * 5000,
    [], {}, [0, 0], [-1, 0], [60, 30], [10**30, 0], [[[]]], {"a": {}}, "=cmd()", "\u0661",
]  # fmt: skip


def kaggle(root: Path) -> None:
    """train.csv with run-length codes."""
    kaggle_folder(root, [f"{n},{k + 1},{40 * k + 1} 3" for k, n in enumerate(strip_ids(4))], 6)


def older_kaggle(root: Path) -> None:
    """train.csv as it was, a row for each image and class."""
    write_strips(root / "train_images", strip_ids(NUM_IMAGES))
    rows = [f"{n}_{c},{'1 3 9 2' if k == c else ''}" for k, n in enumerate(strip_ids(6))
            for c in range(1, 5)]  # fmt: skip
    write_csv(root / "train.csv", ["ImageId_ClassId,EncodedPixels", *rows])


def bitmaps(root: Path) -> None:
    """ann/ with one JSON per image."""
    write_strips(root / "img", strip_ids(NUM_IMAGES))
    (root / "ann").mkdir()
    png = cv2.imencode(".png", np.full((3, 4), 255, np.uint8))[1].tobytes()
    data = base64.b64encode(zlib.compress(png)).decode()
    for k, name in enumerate(strip_ids(NUM_IMAGES)):
        bitmap = {"data": data, "origin": [5 * k, k]}
        item = {"classTitle": f"defect_{k}", "geometryType": "bitmap", "bitmap": bitmap}
        content = {"size": {"height": SIZE[0], "width": SIZE[1]}, "objects": [item] * (0 < k < 5)}
        (root / "ann" / f"{name}.json").write_text(json.dumps(content))


def image_labels(root: Path) -> None:
    """labels.csv with a column per class."""
    write_strips(root / "images", strip_ids(NUM_IMAGES))
    rows = [f"{name},{k % 2},{k // 2 % 2}" for k, name in enumerate(strip_ids(NUM_IMAGES))]
    write_csv(root / "labels.csv", ["ImageId,pit,crack", *rows])


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "kaggle": kaggle,
    "older kaggle": older_kaggle,
    "bitmaps": bitmaps,
    "image labels": image_labels,
}


def damage(root: Path, seed: int) -> str:
    """Damage one or two files of a data set, and say how."""
    rng = random.Random(seed)
    done = []
    for _ in range(rng.choice([1, 1, 2])):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        labels = [path for path in files if path.suffix in (".csv", ".json")]
        path = rng.choice(labels if labels and rng.random() < 0.75 else files)
        kinds = [_bytes, _file]
        kinds += [_cell, _cell, _line] if path.suffix == ".csv" else []
        kinds += [_value, _value, _value] if path.suffix == ".json" else []
        done.append(f"{path.relative_to(root)}: {rng.choice(kinds)(path, rng)}")
    return "; ".join(done)


def _bytes(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice([1, 2, 20, 1000]))
    what = rng.choice(["flip", "delete", "insert", "truncate", "repeat", "empty", "zeros"])
    if what == "flip" and start < len(data):
        data[start] ^= 1 << rng.randrange(8)
    elif what == "delete":
        del data[start:stop]
    elif what == "insert":
        data[start:start] = rng.randbytes(rng.choice([1, 3, 50]))
    elif what == "truncate":
        del data[start:]
    elif what == "repeat":
        data[start:start] = data[start:stop]
    elif what == "zeros":
        data[start:stop] = bytes(stop - start)
    elif what == "empty":
        data.clear()
    path.write_bytes(data)
    return f"{what} {start}:{stop}"


def _file(path: Path, rng: random.Random) -> str:
    what = rng.choice(["remove", "rename", "folder", "pipe", "dangling", "circle", "copy", "other"])
    if what in ("rename", "copy"):
        name = rng.choice(["extra.jpg", "EXTRA.PNG", "=cmd.jpg", "a b.json", "new\nline.jpg", "x"])
        (path.rename if what == "rename" else shutil.copy)(
            *([path.with_name(name)] if what == "rename" else [path, path.with_name(name)])
        )
        return f"{what} {name!r}"
    if what == "other":
        path.write_bytes(rng.choice(sorted(path.parent.iterdir())).read_bytes())
        return what
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what in ("dangling", "circle"):
        path.symlink_to(path if what == "circle" else path.with_name("nowhere"))
    return what


def _cell(path: Path, rng: random.Random) -> str:
    lines = [line.split(",") for line in path.read_text(errors="replace").split("\n")]
    row, cell = rng.choice(lines), rng.choice(CELLS)
    what = rng.choice(["set", "set", "set", "insert", "drop"])
    column = rng.randrange(len(row))
    if what == "drop":
        del row[column]
    else:
        row[column : column + (what == "set")] = [cell]
    path.write_text("\n".join(map(",".join, lines)), newline="")
    return f"{what} cell {cell!r}"


def _line(path: Path, rng: random.Random) -> str:
    lines = path.read_text(errors="replace").split("\n")
    what = rng.choice(["repeat", "drop", "swap", "carriage returns", "mark", "blank", "quote"])
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    if what == "repeat":
        lines.insert(second, lines[first])
    elif what == "drop":
        del lines[first]
    elif what == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif what == "blank":
        lines.insert(first, rng.choice(["", " ", ",,", ","]))
    elif what == "quote":
        lines[first] = ",".join(f'"{cell}"' for cell in lines[first].split(","))
    text = ("\r\n" if what == "carriage returns" else "\n").join(lines)
    path.write_text("\ufeff" * (what == "mark") + text, encoding="utf-8", newline="")
    return what


def _value(path: Path, rng: random.Random) -> str:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return _bytes(path, rng)
    places = list(_places(content))
    if not places:
        return _bytes(path, rng)
    parent, key = rng.choice(places)
    what = rng.choice(["set", "set", "drop", "nest"])
    if what == "drop":
        del parent[key]
    else:
        parent[key] = rng.choice(VALUES) if what == "set" else [[parent[key]]]
    path.write_text(json.dumps(content))
    return f"{what} {key!r}"


def _places(content):
    if isinstance(content, (dict, list)):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])
