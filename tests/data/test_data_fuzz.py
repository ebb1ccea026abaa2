"""Whatever stands in the files of a data set: an answer or an InputError."""

import base64
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing import BYTES, CELLS, IDS, JSON, changed, fuzzed, refused_or, replaced, written
from hypothesis import given
from hypothesis import strategies as st

from core.data.bitmap_json import decode_bitmap, read_bitmap_json
from core.data.images import check_header, read_image
from core.data.kaggle_csv import read_kaggle_csv
from core.data.label_csv import read_label_csv
from core.data.label_table import LabelTable
from core.data.split_file import read_split
from core.files.run_length import decode, encode

pytestmark = pytest.mark.slow

SIZE = (32, 64)
NAMES = ("pit", "crack")
PLACES = {name: name for name in IDS}
PNG = cv2.imencode(".png", np.full((3, 4), 255, np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.arange(32 * 64, dtype=np.uint8).reshape(SIZE))[1].tobytes()

WIDE = np.arange(32 * 64, dtype=np.uint16).reshape(SIZE)
OTHERS = [PNG, *(cv2.imencode(ending, WIDE)[1].tobytes() for ending in (".png", ".tif"))]
OTHERS += [cv2.imencode(end, WIDE.astype(np.uint8))[1].tobytes() for end in (".bmp", ".webp")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(st.lists(st.integers(-1, 2100) | st.integers()).map(lambda n: " ".join(map(str, n))) | CELLS)
@fuzzed
def test_run_length_codes(code):
    mask = refused_or(decode, code, *SIZE)
    if mask is not None:
        np.testing.assert_array_equal(decode(encode(mask), *SIZE), mask)


@given(content=BYTES)
@fuzzed
def test_kaggle_tables(folder, content):
    refused_or(read_kaggle_csv, written(folder, "train.csv", content), PLACES, NAMES, SIZE)


@given(content=BYTES)
@fuzzed
def test_label_tables(folder, content):
    refused_or(read_label_csv, written(folder, "labels.csv", content), PLACES, None)


@given(content=BYTES)
@fuzzed
def test_split_files(folder, content):
    table = LabelTable(
        tuple(map(Path, IDS)), IDS, np.zeros((3, 2), np.uint8), NAMES, None, "labels.csv"
    )
    split = refused_or(read_split, written(folder, "split.csv", content), table)
    if split is not None:
        assert sorted(np.concatenate(list(split.values()))) == [0, 1, 2]


@given(data=changed(PNG) | st.binary(max_size=40), pack=st.booleans(), origin=st.integers(-2, 70))
@fuzzed
def test_bitmaps(data, pack, origin):
    text = base64.b64encode(zlib.compress(data) if pack else data).decode()
    for code in (text, data.decode("latin-1")):
        mask = refused_or(decode_bitmap, code, (origin, 0), SIZE)
        assert mask is None or mask.any()


ITEM = {
    "classTitle": "pit",
    "geometryType": "bitmap",
    "bitmap": {"data": base64.b64encode(zlib.compress(PNG)).decode(), "origin": [1, 2]},
}
ANNOTATION = {"size": {"height": 32, "width": 64}, "objects": [ITEM]}


@given(value=replaced(ANNOTATION) | JSON)
@fuzzed
def test_annotations(folder, value):
    (folder / "ann").mkdir(exist_ok=True)
    written(folder, "ann/a.jpg.json", json.dumps(value).encode())
    refused_or(read_bitmap_json, folder / "ann", ("a.jpg",), NAMES, SIZE)


@given(content=changed(JPEG) | st.sampled_from(OTHERS).flatmap(changed) | st.binary(max_size=40))
@fuzzed
def test_images(folder, content):
    path = written(folder, "a.jpg", content)
    refused_or(check_header, path, SIZE)
    image = refused_or(read_image, path, SIZE)
    assert image is None or image.shape == SIZE
