import base64
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from strip_folders import SIZE, strip_ids, write_strips

from core.data.annotations import read_label_table
from core.errors import InputError

FIRST, SECOND = strip_ids(2)


def pack(png: bytes) -> str:
    return base64.b64encode(zlib.compress(png)).decode()


def bitmap(mask: np.ndarray, origin: tuple[int, int]) -> dict[str, Any]:
    png = cv2.imencode(".png", mask * 255)[1].tobytes()
    return {"data": pack(png), "origin": list(origin)}


def item(mask: np.ndarray, origin: tuple[int, int], title: str = "defect_1") -> dict[str, Any]:
    return {"classTitle": title, "geometryType": "bitmap", "bitmap": bitmap(mask, origin)}


def content(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"size": {"height": SIZE[0], "width": SIZE[1]}, "objects": list(objects)}


def folder(root: Path, first: Any, images: str = "train_images") -> Path:
    """Two images, the second of them clean."""
    write_strips(root / images, [FIRST, SECOND])
    (root / "ann").mkdir(exist_ok=True)
    for image_id, annotation in ((FIRST, first), (SECOND, content())):
        text = annotation if isinstance(annotation, str) else json.dumps(annotation)
        (root / "ann" / f"{image_id}.json").write_text(text)
    return root


@pytest.mark.parametrize("images", ["train_images", "img"])
def test_objects_become_labels_and_joined_masks(tmp_path, images):
    full = np.ones((3, 2), np.uint8)
    corner = np.array([[0, 1], [1, 1]], np.uint8)
    objects = [
        item(full, (5, 1), "defect_3"),
        item(corner, (6, 3), "defect_3"),
        item(full, (SIZE[1] - 2, SIZE[0] - 3), "defect_1"),
    ]
    table = read_label_table(folder(tmp_path, content(*objects), images), image_size=SIZE)
    assert table.source == "ann"
    assert table.labels.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]
    expected = np.zeros((4, *SIZE), np.uint8)
    expected[2, 1:4, 5:7] = 1
    expected[2, 3, 7] = expected[2, 4, 6] = expected[2, 4, 7] = 1
    expected[0, -3:, -2:] = 1
    np.testing.assert_array_equal(table.masks[0], expected)
    assert not table.masks[1].any()


def test_alpha_marks_the_mask_where_there_is_any(tmp_path):
    pixels = np.full((2, 2, 4), 255, np.uint8)
    pixels[0, 0, 3] = 0
    png = cv2.imencode(".png", pixels)[1].tobytes()
    annotation = item(np.ones((1, 1), np.uint8), (0, 0))
    annotation["bitmap"]["data"] = pack(png)
    table = read_label_table(folder(tmp_path, content(annotation)), image_size=SIZE)
    assert table.masks[0][0, :2, :2].tolist() == [[0, 1], [1, 1]]


def test_class_names_of_its_own(tmp_path):
    root = folder(tmp_path, content(item(np.ones((1, 1), np.uint8), (0, 0), "pit")))
    assert read_label_table(root, ["crack", "pit"], SIZE).labels[0].tolist() == [0, 1]
    with pytest.raises(InputError) as caught:
        read_label_table(root, image_size=SIZE)
    for part in (f"{FIRST}.json", "object 1", "classTitle 'pit'", "defect_4", "data.class_names"):
        assert part in str(caught.value)


DOT = np.ones((2, 3), np.uint8)


def changed(**values: Any) -> dict[str, Any]:
    return content(item(DOT, (0, 0)) | values)


def with_bitmap(**values: Any) -> dict[str, Any]:
    return changed(bitmap=bitmap(DOT, (0, 0)) | values)


HUGE = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
BAD = {
    "no json": ("{", "not a JSON file"),
    "not utf-8": ("\udcff", None),
    "nested": ("[" * 100_000, "nested deeper than 64 levels"),
    "a list": ([], "the file is '[]'"),
    "no objects": ({"size": {"height": 1, "width": 1}}, "objects is"),
    "other size": (content() | {"size": {"height": 16, "width": 64}}, "size is 16x64"),
    "polygon": (changed(geometryType="polygon"), "objects.0.geometryType is 'polygon'"),
    "no bitmap": (changed(bitmap=None), "objects.0.bitmap is 'None'"),
    "no base64": (with_bitmap(data="***"), "bitmap.data begins with '***'"),
    "other letters": (with_bitmap(data="é"), "bitmap.data begins with"),
    "no zlib": (with_bitmap(data="QUJDRA=="), "bitmap.data is not zlib"),
    "no png": (with_bitmap(data=pack(b"hello")), "bitmap.data holds no PNG"),
    "cut png": (with_bitmap(data=pack(b"\x89PNG\r\n\x1a\n\0\0")), "bitmap.data holds no PNG"),
    "cut zlib": (with_bitmap(data=bitmap(DOT, (0, 0))["data"][:-8]), "cut off"),
    "bomb": (with_bitmap(data=HUGE), "cut off or larger than the image"),
    "empty mask": (content(item(DOT * 0, (0, 0))), "without a single pixel"),
    "past the right": (content(item(DOT, (SIZE[1] - 2, 0))), "origin [62, 0] leaves the image"),
    "past the bottom": (content(item(DOT, (0, SIZE[0] - 1))), "origin [0, 31] leaves the image"),
    "negative": (content(item(DOT, (-1, 0))), "origin [-1, 0] leaves the image"),
}


@pytest.mark.parametrize("kind", [kind for kind in BAD if BAD[kind][1]])
def test_a_bad_annotation_is_named_in_one_line(tmp_path, kind):
    annotation, expected = BAD[kind]
    folder(tmp_path, annotation)
    with pytest.raises(InputError) as caught:
        read_label_table(tmp_path, image_size=SIZE)
    assert f"{FIRST}.json" in str(caught.value)
    assert expected in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    folder(tmp_path, content())
    (tmp_path / "ann" / f"{FIRST}.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(InputError, match="not a JSON file"):
        read_label_table(tmp_path, image_size=SIZE)


def test_an_image_without_json_and_a_json_without_image_are_refused(tmp_path):
    folder(tmp_path, content())
    (tmp_path / "ann" / f"{SECOND}.json").unlink()
    with pytest.raises(InputError, match=rf"no JSON for image '{SECOND}' \(1 of 2 images"):
        read_label_table(tmp_path, image_size=SIZE)
    (tmp_path / "ann" / f"{SECOND}.json").write_text(json.dumps(content()))
    (tmp_path / "ann" / "other.jpg.json").write_text(json.dumps(content()))
    with pytest.raises(InputError, match=r"other\.jpg\.json: image 'other\.jpg' is not in"):
        read_label_table(tmp_path, image_size=SIZE)


def test_real_bitmaps_equal_the_run_length_masks(tmp_path, severstal_sample):
    ids = [path.name.removesuffix(".json") for path in (severstal_sample / "ann").iterdir()]
    assert len(ids) == 3
    (tmp_path / "img").mkdir()
    shutil.copytree(severstal_sample / "ann", tmp_path / "ann")
    for image_id in ids:
        shutil.copy(severstal_sample / "train_images" / image_id, tmp_path / "img")
    bitmaps, codes = read_label_table(tmp_path), read_label_table(severstal_sample)
    for index, image_id in enumerate(bitmaps.image_ids):
        same = codes.image_ids.index(image_id)
        assert bitmaps.labels[index].tolist() == codes.labels[same].tolist()
        np.testing.assert_array_equal(bitmaps.masks[index], codes.masks[same])
