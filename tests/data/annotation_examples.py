"""The same objects as COCO, VOC and YOLO write them, on small strips."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from strip_folders import SIZE, write_strips

HEIGHT, WIDTH = SIZE
NAMES = ("pit", "crack")
IMAGES = ("a.jpg", "b.jpg", "c.jpg")
# Class, and left, top, right, bottom in pixels; c.jpg is clean.
BOXES = {"a.jpg": [(0, (4, 2, 20, 10)), (1, (30, 5, 31, 32)), (0, (18, 8, 24, 12))],
         "b.jpg": [(1, (0, 0, 64, 1))], "c.jpg": []}  # fmt: skip


def strips(root: Path) -> Path:
    """A folder with the images, one of them deeper, and copies that a notebook hides."""
    write_strips(root / "images", IMAGES[:2])
    write_strips(root / "images" / ".ipynb_checkpoints", ["a-checkpoint.jpg", "b.jpg"])
    write_strips(root / "images" / "more", IMAGES[2:])
    return root / "images"


def true_masks(name: str) -> np.ndarray:
    """The masks (classes, height, width) of an image."""
    masks = np.zeros((len(NAMES), *SIZE), np.uint8)
    for category, (left, top, right, bottom) in BOXES[name]:
        masks[category, top:bottom, left:right] = 1
    return masks


def polygon(box: tuple[int, int, int, int]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def counts(box: tuple[int, int, int, int]) -> list[int]:
    """Run lengths of COCO, by plain counting."""
    left, top, right, bottom = box
    mask = np.zeros(SIZE, int)
    mask[top:bottom, left:right] = 1
    found, last, length = [], 0, 0
    for value in mask.ravel(order="F").tolist():
        if value != last:
            found.append(length)
            last, length = value, 0
        length += 1
    return [*found, length]


def text(numbers: list[int]) -> str:
    """Run lengths as pycocotools writes them: six bits a character, mostly as differences."""
    out = ""
    for index, number in enumerate(numbers):
        rest = number - numbers[index - 2] if index > 2 else number
        more = True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != -1 if bits & 16 else rest != 0
            out += chr((bits | 32 if more else bits) + 48)
    return out


def coco(outline: str) -> dict[str, Any]:
    """A COCO file with polygons, counts, text, or boxes alone."""
    make = {
        "polygons": lambda box: [polygon(box)],
        "counts": lambda box: {"size": list(SIZE), "counts": counts(box)},
        "text": lambda box: {"size": list(SIZE), "counts": text(counts(box))},
        "boxes": lambda box: [],
    }[outline]
    return {
        "info": {"year": 2020},
        "images": [
            {"id": 7 + k, "file_name": f"train/{name}", "height": HEIGHT, "width": WIDTH}
            for k, name in enumerate(IMAGES)
        ],
        "categories": [{"id": 9, "name": "crack"}, {"id": 3, "name": "pit"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7 + IMAGES.index(name),
                "category_id": (3, 9)[category],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "segmentation": make(box),
                "iscrowd": 0,
            }
            for name, objects in BOXES.items()
            for category, box in objects
        ],
    }


def write_coco(root: Path, content: Any) -> Path:
    path = root / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_voc(root: Path) -> Path:
    folder = root / "voc"
    folder.mkdir()
    for name, objects in BOXES.items():
        items = "".join(
            f"<object><name>{NAMES[category]}</name><bndbox><xmin>{box[0] + 1}</xmin>"
            f"<ymin>{box[1] + 1}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
            for category, box in objects
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>1</depth></size>"
        content = f"<annotation><filename>{name}</filename>{size}{items}</annotation>"
        (folder / f"{name[:-4]}.xml").write_text(content)
    return folder


def write_yolo(root: Path, polygons: bool = False) -> Path:
    """A file for each image that shows something, and classes.txt."""
    folder = root / "yolo"
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(NAMES))
    for name, objects in BOXES.items():
        lines = []
        for category, (left, top, right, bottom) in objects:
            if polygons:
                shares = np.reshape(polygon((left, top, right, bottom)), (-1, 2)) / (WIDTH, HEIGHT)
                numbers = shares.ravel().tolist()
            else:
                numbers = [(left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT]
                numbers += [(right - left) / WIDTH, (bottom - top) / HEIGHT]
            lines.append(" ".join(map(str, [category, *numbers])))
        if lines:
            (folder / f"{name[:-4]}.txt").write_text("\n".join(lines) + "\n")
    return folder
