"""Validation finds everything that is wrong, each of it once, and agrees with the readers."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from strip_folders import kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.data.settings import DataSettings
from core.data.validation.inspection import measure_grey, measure_masks
from core.data.validation.report import as_json, as_text
from core.data.validation.validate import validate_data
from core.errors import InputError
from core.files.run_length import encode

SIZE = (64, 320)
CODE = encode(np.pad(np.ones((8, 9), np.uint8), ((4, 52), (100, 211))))
COUNT = 24
HEADER = "ImageId,ClassId,EncodedPixels"


def settings(**changes) -> DataSettings:
    return DataSettings(image_size=SIZE, num_workers=1, **changes)


def rows() -> list[str]:
    """Each class in four of the strips; the last eight are clean."""
    return [f"{name},{k % 4 + 1},{CODE}" for k, name in enumerate(strip_ids(COUNT)[:16])]


@pytest.fixture
def root(tmp_path):
    root = kaggle_folder(tmp_path, rows(), num_images=0)
    for number, name in enumerate(strip_ids(COUNT)):
        noise = np.random.default_rng(number).normal(120, 40, (16, 80)).clip(40, 240)
        image = cv2.resize(noise.astype(np.uint8), SIZE[::-1])
        cv2.imwrite(str(root / "train_images" / name), image)
    return root


def kinds(validation) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in validation.findings))


def test_a_sound_data_set_has_no_finding(root):
    validation = validate_data(root, settings())
    assert validation.usable
    assert validation.findings == []
    report = as_json(validation)
    assert report["labels"]["class_counts"] == dict.fromkeys(validation.table.class_names, 4)
    assert report["labels"]["clean"] == 8
    assert report["labels"]["class_shares"]["defect_1"] == pytest.approx(4 / COUNT)
    assert report["sizes"] == {"64x320": COUNT}
    assert report["masks"]["pixels"]["defect_2"]["median"] == 72
    assert report["grey"]["mean"]["lowest"] > 100
    json.dumps(report, allow_nan=False)
    text = as_text(validation, examples=3)
    assert "defect_4" in text
    assert "0 errors, 0 warnings" in text


def spoil_rows(root):
    write_csv(
        root / "train.csv",
        [
            HEADER,
            *rows(),
            f"strip_099.jpg,1,{CODE}",
            f"strip_000.jpg,1,{CODE}",
            f"strip_020.jpg,9,{CODE}",
            "strip_021.jpg,1,",
            "strip_022.jpg,1,20480 9",
            "strip_023.jpg,1,1 x",
        ],
    )


def spoil_images(root):
    images = root / "train_images"
    (images / "strip_001.jpg").write_text("no image")
    whole = (images / "strip_002.jpg").read_bytes()
    (images / "strip_002.jpg").write_bytes(whole[:-50])
    cv2.imwrite(str(images / "strip_003.jpg"), np.zeros((10, 20), np.uint8))


def test_as_many_threads_as_there_are_cores_where_workers_are_automatic(root):
    automatic = settings().model_copy(update={"num_workers": "auto"})
    assert validate_data(root, automatic).findings == []


def test_every_mistake_is_found_at_once(root):
    spoil_rows(root)
    spoil_images(root)
    validation = validate_data(root, settings())
    assert not validation.usable
    assert kinds(validation) == {
        "label of a missing image": 1,
        "label twice": 1,
        "wrong label": 2,
        "label without pixels": 1,
        "mask outside the strip": 1,
        "image that cannot be decoded": 1,
        "truncated image": 1,
        "image of another size": 1,
    }
    messages = "\n".join(finding.message for finding in validation.findings)
    for words in ("line 18", "line 23", "strip_001.jpg: not an image", "10x20 pixels"):
        assert words in messages
    assert all("\n" not in finding.message for finding in validation.findings)
    assert as_json(validation)["sizes"] == {"64x320": COUNT - 2, "10x20": 1}
    text = as_text(validation, examples=1)
    assert "and 1 more in the report" in text
    assert "9 errors, 0 warnings" in text


def test_bad_images_are_warnings_where_training_skips_them(root):
    spoil_images(root)
    validation = validate_data(root, settings(on_bad_image="skip"))
    assert validation.usable
    assert validation.count("warning") == 3
    assert as_json(validation)["num_usable_images"] == COUNT - 3


def test_no_usable_image_is_an_error_even_then(root):
    for path in (root / "train_images").iterdir():
        path.write_text("no image")
    assert not validate_data(root, settings(on_bad_image="skip")).usable


def test_without_a_table_the_images_are_checked_all_the_same(root):
    (root / "train.csv").write_text("some,other,table\n")
    spoil_images(root)
    validation = validate_data(root, settings())
    assert kinds(validation)["data set"] == 1
    assert validation.count("error") == 4
    assert "24 images" in as_text(validation, 3)


def test_odd_strips_are_warned_of(root):
    images = root / "train_images"
    noise = np.random.default_rng(0).integers(0, 3, SIZE, np.uint8)
    cv2.imwrite(str(images / "strip_020.jpg"), noise)
    cv2.imwrite(str(images / "strip_021.jpg"), np.full(SIZE, 254, np.uint8))
    cv2.imwrite(str(images / "strip_022.jpg"), np.full(SIZE, 100, np.uint8))
    bordered = cv2.imread(str(images / "strip_000.jpg"), cv2.IMREAD_GRAYSCALE)
    bordered[:, :160] = 2
    cv2.imwrite(str(images / "strip_000.jpg"), bordered)
    write_csv(root / "train.csv", [HEADER, *rows(), f"strip_001.jpg,1,{CODE}"])
    validation = validate_data(root, settings())
    assert validation.usable
    assert kinds(validation) == {
        "nearly black strip": 1,
        "saturated strip": 1,
        "flat strip": 1,
        "masks on a black border": 1,
        "masks that overlap": 1,
    }
    report = as_json(validation)
    # The border, and the black strip as a whole.
    assert report["black_borders"]["num_images"] == 2
    assert report["black_borders"]["width_share"]["lowest"] == pytest.approx(0.5, abs=0.03)


def test_near_duplicates_with_other_labels_are_named(root):
    images = root / "train_images"
    for copy, source in (("strip_020.jpg", "strip_000.jpg"), ("strip_022.jpg", "strip_021.jpg")):
        image = cv2.imread(str(images / source), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(images / copy), cv2.add(image, 10))
    validation = validate_data(root, settings())
    assert kinds(validation) == {"near-duplicates with other labels": 1}
    (finding,) = validation.findings
    assert "strip_000.jpg (defect_1) and strip_020.jpg (clean)" in finding.message
    found = as_json(validation)["near_duplicates"]
    assert (found["num_pairs"], found["num_with_other_labels"]) == (2, 1)
    assert as_json(validate_data(root, settings(group_duplicates=False)))["near_duplicates"] is None


def labels_csv(root, changes):
    table = read_label_table(root, image_size=SIZE)
    labels = table.labels.copy()
    for cell in changes:
        labels[cell] ^= 1
    lines = [
        f"{name},{','.join(map(str, row))}"
        for name, row in zip(table.image_ids, labels, strict=True)
    ]
    write_csv(root / "labels.csv", [f"ImageId,{','.join(table.class_names)}", *lines])


def test_labels_that_contradict_masks_are_errors_in_both_directions(root):
    labels_csv(root, [])
    validation = validate_data(root, settings())
    assert validation.usable
    assert validation.compared_sources == ["labels.csv"]
    labels_csv(root, [(0, 0), (20, 3)])
    validation = validate_data(root, settings())
    assert kinds(validation) == {"labels contradict masks": 1, "labels without a mask": 1}
    lines = [finding.message for finding in validation.findings]
    assert "strip_000.jpg: defect_1 is in train.csv, but no label of it in labels.csv" in lines[0]
    assert "strip_020.jpg: defect_4 is in labels.csv, but no pixels of it in train.csv" in lines[1]


def test_labels_without_a_mask_are_accepted_where_training_accepts_them(root):
    labels_csv(root, [(20, 3)])
    assert not validate_data(root, settings()).usable
    validation = validate_data(root, settings(missing_masks="ignore"))
    assert validation.usable
    assert kinds(validation) == {"labels without a mask": 1}
    assert validation.table.labels[20, 3] == 1
    assert validation.inspections[20].masks is None


def test_what_training_does_not_read_is_a_warning(root):
    write_csv(root / "labels.csv", ["ImageId,pit", "strip_000.jpg,1"])
    validation = validate_data(root, settings())
    assert validation.usable
    assert kinds(validation) == {"source that training does not read": 1}


def test_a_split_that_training_would_refuse_is_an_error(root, tmp_path):
    kept = [row for row in rows() if ",2," not in row]
    write_csv(root / "train.csv", [HEADER, *kept, f"strip_001.jpg,2,{CODE}"])
    validation = validate_data(root, settings())
    assert kinds(validation) == {"split": 1}
    assert "defect_2 has 1 image" in validation.findings[0].message
    split = write_csv(tmp_path / "split.csv", ["image_id,split", "strip_000.jpg,train"])
    validation = validate_data(root, settings(split_strategy="file", split_file=split))
    assert "no row for image 'strip_001.jpg'" in validation.findings[0].message


def test_what_is_measured_does_not_depend_on_a_resize(root):
    """A letterbox adds black, and a smaller image has smaller masks."""
    first, *others = (
        as_json(validate_data(root, settings(**changes)))
        for changes in ({}, {"resize": (64, 64), "resize_mode": "letterbox"}, {"resize": (32, 80)})
    )
    for other in others:
        for name in ("grey", "black_borders", "masks", "near_duplicates"):
            assert other[name] == first[name]


def test_each_size_is_printed_whole(root):
    for number, name in enumerate(strip_ids(COUNT)[:15]):
        image = np.full((64, 320 + number), number, np.uint8)
        cv2.imwrite(str(root / "train_images" / name), image)
    text = as_text(validate_data(root, settings(resize=(64, 320))), examples=0)
    (line,) = (line for line in text.splitlines() if line.startswith("sizes"))
    assert line.startswith("sizes            64x320 (10), 64x321 (1), ")
    assert line.endswith("64x329 (1), and 5 more")


def test_borders_and_masks_are_measured_by_pixels():
    image = np.full((32, 100), 100, np.uint8)
    image[:, :10] = 3
    image[:, 80:] = 3
    image[5, 5] = 255  # a speck is no steel
    grey = measure_grey(image)
    assert (grey.left_border, grey.right_border) == (10, 20)
    assert grey.black_share == pytest.approx(0.3, abs=1e-3)
    masks = np.zeros((2, 32, 100), np.uint8)
    masks[0, 0, 5:15] = 1
    masks[1, 0, 12:16] = 1
    masks[1, 1, 98:] = 1
    figures = measure_masks(masks, grey)
    assert figures.areas.tolist() == [10, 6]
    assert (figures.overlap, figures.on_border) == (3, 7)
    dark = measure_grey(np.zeros((32, 100), np.uint8))
    assert (dark.left_border, dark.right_border) == (100, 0)
    assert measure_masks(masks, dark).on_border == 13


@pytest.mark.slow
def test_real_strips_are_sound(severstal_sample):
    validation = validate_data(severstal_sample, DataSettings())
    assert validation.usable
    report = as_json(validation)
    assert report["num_usable_images"] == 100
    assert report["labels"]["class_counts"] == dict.fromkeys(validation.table.class_names, 20)


def test_training_stops_at_the_first_of_them(root):
    spoil_rows(root)
    with pytest.raises(InputError, match=r"strip_099\.jpg"):
        read_label_table(root, image_size=SIZE)
