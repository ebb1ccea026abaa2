"""Annotations of other programs come back as the labels and masks that they were."""

import json
import random

import numpy as np
import pytest
from annotation_examples import (
    BOXES,
    IMAGES,
    NAMES,
    coco,
    strips,
    true_masks,
    write_coco,
    write_voc,
    write_yolo,
)
from fuzzing import refused_or
from strip_folders import SIZE, write_strips

import convert as command
from core.command.mistakes import run_command
from core.data.annotations import read_label_table
from core.data.conversion.annotated import AnnotatedObject
from core.data.conversion.convert import ConversionOptions, convert
from core.data.conversion.masks import draw
from core.errors import InputError


def check(root, masks: bool, order=NAMES) -> None:
    """The data set in `root` shows what the examples show."""
    table = read_label_table(root, image_size=SIZE)
    assert table.image_ids == IMAGES
    assert table.class_names == order
    assert (table.masks is not None) == masks
    columns = [NAMES.index(name) for name in order]
    for index, name in enumerate(IMAGES):
        expected = true_masks(name)[columns]
        assert table.labels[index].tolist() == expected.any(axis=(1, 2)).astype(int).tolist()
        if masks:
            np.testing.assert_array_equal(table.masks[index], expected)


@pytest.mark.parametrize("outline", ["polygons", "counts", "text"])
def test_coco_outlines_become_masks(outline, tmp_path):
    source = write_coco(tmp_path, coco(outline))
    convert(source, strips(tmp_path), ConversionOptions(tmp_path / "out"))
    check(tmp_path / "out", masks=True)


ALPHABET = ("crack", "pit")
SOURCES = {
    "coco": (lambda root: write_coco(root, coco("boxes")), NAMES),
    "voc": (write_voc, ALPHABET),
    "yolo": (write_yolo, NAMES),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("boxes_as_masks", [False, True])
def test_boxes_become_labels_and_masks_only_if_asked(kind, boxes_as_masks, tmp_path):
    write, order = SOURCES[kind]
    options = ConversionOptions(tmp_path / "out", boxes_as_masks=boxes_as_masks)
    convert(write(tmp_path), strips(tmp_path), options)
    assert (tmp_path / "out" / "labels.csv").exists() != boxes_as_masks
    check(tmp_path / "out", boxes_as_masks, order)


def test_yolo_polygons_become_masks(tmp_path):
    source = write_yolo(tmp_path, polygons=True)
    convert(source, strips(tmp_path), ConversionOptions(tmp_path / "out"))
    check(tmp_path / "out", masks=True)


@pytest.mark.parametrize("content", ["names: [pit, crack]\n", "names:\n  0: pit\n  1: crack\n"])
def test_yolo_class_names_of_a_yaml_or_of_the_command(content, tmp_path):
    source = write_yolo(tmp_path)
    (source / "classes.txt").unlink()
    images = strips(tmp_path)
    with pytest.raises(InputError, match="give --class-names"):
        convert(source, images, ConversionOptions(tmp_path / "out"))
    convert(source, images, ConversionOptions(tmp_path / "given", NAMES))
    check(tmp_path / "given", masks=False)
    (tmp_path / "data.yaml").write_text(content)
    convert(source, images, ConversionOptions(tmp_path / "out"))
    check(tmp_path / "out", masks=False)


def test_voc_classes_in_the_order_of_the_command(tmp_path):
    options = ConversionOptions(tmp_path / "out", ("pit", "crack"))
    convert(write_voc(tmp_path), strips(tmp_path), options)
    check(tmp_path / "out", masks=False)


def test_an_object_without_an_outline_among_others_makes_it_labels(tmp_path, caplog):
    content = coco("polygons")
    content["annotations"][1]["segmentation"] = []
    convert(write_coco(tmp_path, content), strips(tmp_path), ConversionOptions(tmp_path / "out"))
    check(tmp_path / "out", masks=False)
    assert "1 of 4 objects have no outline" in caplog.text
    assert "--boxes-as-masks" in caplog.text


def inside(points: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule by plain loops."""
    odd = False
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


@pytest.mark.parametrize("seed", range(5))
def test_a_polygon_covers_the_pixels_whose_centre_it_holds(seed):
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 9))
    radii = generator.uniform(6, 14, 9)
    points = np.column_stack([30 + 2 * radii * np.cos(angles), 16 + radii * np.sin(angles)])
    mask = np.zeros(SIZE, np.uint8)
    draw(mask, AnnotatedObject(0, "it", polygons=(points,)))
    expected = [[inside(points, x + 0.5, y + 0.5) for x in range(SIZE[1])] for y in range(SIZE[0])]
    # Centres within a thirtieth of a pixel of an edge may fall either way.
    assert (mask != np.array(expected)).sum() <= 0.02 * mask.sum()
    assert mask.sum() > 100


def test_a_sliver_keeps_its_label():
    mask = np.zeros(SIZE, np.uint8)
    sliver = np.array([[3.1, 4.1], [3.2, 4.1], [3.2, 4.2]])
    draw(mask, AnnotatedObject(0, "it", polygons=(sliver,)))
    assert np.argwhere(mask).tolist() == [[4, 3]]


def test_nothing_is_overwritten_without_force(tmp_path):
    source, images = write_coco(tmp_path, coco("polygons")), strips(tmp_path)
    out = tmp_path / "out"
    convert(source, images, ConversionOptions(out))
    before = (out / "train.csv").read_bytes()
    (out / "classes.txt").unlink()
    for table in ("train.csv", "classes.txt"):
        with pytest.raises(InputError, match=f"{table} exists: .*--force"):
            convert(source, images, ConversionOptions(out))
        (out / "classes.txt").write_text("mine\n")
        (out / "train.csv").unlink(missing_ok=True)
    assert (out / "classes.txt").read_text() == "mine\n"
    convert(source, images, ConversionOptions(out, force=True))
    assert (out / "train.csv").read_bytes() == before
    check(out, masks=True)
    with pytest.raises(InputError, match=r"holds train\.csv, other labels"):
        convert(write_voc(tmp_path), images, ConversionOptions(out, force=True))


def test_images_in_their_place_stay_and_others_are_refused(tmp_path):
    write_strips(tmp_path / "train_images", IMAGES)
    source = write_coco(tmp_path, coco("polygons"))
    before = {path: path.read_bytes() for path in (tmp_path / "train_images").iterdir()}
    convert(source, tmp_path / "train_images", ConversionOptions(tmp_path))
    check(tmp_path, masks=True)
    after = {path: path.read_bytes() for path in (tmp_path / "train_images").iterdir()}
    assert after == before
    assert not any(path.is_symlink() for path in after)
    write_strips(tmp_path / "train_images", ["unlabelled.jpg"])
    with pytest.raises(InputError, match=r"unlabelled\.jpg: is not one of the 3 annotated"):
        convert(source, tmp_path / "train_images", ConversionOptions(tmp_path, force=True))


def changed(path, value):
    """COCO content with the value under these keys replaced."""
    content = coco("polygons")
    *outer, last = path
    place = content
    for key in outer:
        place = place[key]
    place[last] = value
    return content


FIRST = ("annotations", 0)
BAD_COCO = {
    "no JSON": ("{", ["coco.json", "not a JSON file"]),
    "a list": ([], ["coco.json", "list"]),
    "no annotations": ({"images": [], "categories": []}, ["annotations is missing"]),
    "no image": ({"images": [], "categories": [{"id": 1, "name": "a"}], "annotations": []},
                 ["annotates no image"]),
    "no category": (changed(("categories",), []), ["no class names"]),
    "category with slash": (changed(("categories", 0, "name"), "../x"), ["class name '../x'"]),
    "category twice": (changed(("categories", 0, "id"), 3), ["given twice"]),
    "image twice": (changed(("images", 1), coco("boxes")["images"][0]), ["given twice"]),
    "file twice": (changed(("images", 1, "file_name"), "a.jpg"), ["a.jpg is annotated twice"]),
    "absent file": (changed(("images", 0, "file_name"), "x.jpg"), ["'x.jpg'", "not in the image"]),
    "path": (changed(("images", 0, "file_name"), "../../etc/passwd"), ["'passwd'"]),
    "other size": (changed(("images", 0, "width"), 10**9), ["size is 32x1000000000", "32x64"]),
    "unknown image": (changed((*FIRST, "image_id"), 99), ["annotation 0", "image_id=99"]),
    "unknown class": (changed((*FIRST, "category_id"), 1), ["annotation 0", "category_id=1"]),
    "text as box": (changed((*FIRST, "bbox"), "1 2 3 4"), ["bbox", "list"]),
    "two points": (changed((*FIRST, "segmentation"), [[1, 2, 3, 4]]), ["polygon of 4 numbers"]),
    "outside": (changed((*FIRST, "segmentation"), [[0, 0, 9e9, 0, 9, 9]]), ["reaches from"]),
    "box outside": (
        changed(FIRST, coco("boxes")["annotations"][0] | {"bbox": [60, 20, 9, 9]}),
        ["annotation 0", "reaches from"],
    ),
    "negative width": (
        changed(FIRST, coco("boxes")["annotations"][0] | {"bbox": [20, 20, -10, 4]}),
        ["annotation 0", "box 20,20 to 10,24 is turned round"],
    ),
    "negative height": (
        changed(FIRST, coco("boxes")["annotations"][0] | {"bbox": [20, 20, 4, -10]}),
        ["annotation 0", "box 20,20 to 24,10 is turned round"],
    ),
    "counts too many": (
        changed((*FIRST, "segmentation"), {"size": [32, 64], "counts": [10**18, 10**18]}),
        ["run lengths sum to 2000000000000000000", "2048"],
    ),
    "negative counts": (
        changed((*FIRST, "segmentation"), {"size": [32, 64], "counts": [-5, 2053]}),
        ["run lengths"],
    ),
    "counts of no pixel": (
        changed((*FIRST, "segmentation"), {"size": [32, 64], "counts": [2048]}),
        ["covers no pixel"],
    ),
    "size of counts": (
        changed((*FIRST, "segmentation"), {"size": [64, 32], "counts": [2048]}),
        ["segmentation.size=[64, 32]"],
    ),
    "odd text": (
        changed((*FIRST, "segmentation"), {"size": [32, 64], "counts": "~~"}),
        ["counts '~~'"],
    ),
    "text cut off": (
        changed((*FIRST, "segmentation"), {"size": [32, 64], "counts": "oooooooooooo"}),
        ["counts 'oooo"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_COCO)
def test_a_bad_coco_file_is_named_in_one_line(kind, tmp_path):
    content, words = BAD_COCO[kind]
    source = write_coco(tmp_path, content)
    refused(source, tmp_path, words)


def refused(source, tmp_path, words, boxes_as_masks=True) -> None:
    options = ConversionOptions(tmp_path / "out", boxes_as_masks=boxes_as_masks)
    with pytest.raises(InputError) as caught:
        convert(source, strips(tmp_path), options)
    line = str(caught.value)
    assert all(word in line for word in words), line
    assert "\n" not in line
    assert len(line) < 1000
    assert not (tmp_path / "out").exists()


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
BAD_VOC = {
    "no XML": ("hello", ["a.xml", "not an XML file"]),
    "entities": (BOMB, ["a.xml", "entities"]),
    "other root": ("<svg/>", ["<svg>"]),
    "other size": ("<annotation><size><width>9</width><height>9</height></size></annotation>",
                   ["size is 9x9", "32x64"]),
    "no name": (f"<annotation><object>{BOX.format(9)}</object></annotation>", ["no <name>"]),
    "no box": ("<annotation><object><name>pit</name></object></annotation>", ["no bndbox"]),
    "text as side": (
        f"<annotation><object><name>pit</name>{BOX.format('x')}</object></annotation>",
        ["<xmax> is 'x'"],
    ),
    "not finite": (
        f"<annotation><object><name>pit</name>{BOX.format('inf')}</object></annotation>",
        ["<xmax> is 'inf'"],
    ),
    "outside": (
        f"<annotation><object><name>pit</name>{BOX.format(99)}</object></annotation>",
        ["reaches from"],
    ),
    "turned round": (
        f"<annotation><object><name>pit</name>{BOX.format(0)}</object></annotation>",
        ["turned round"],
    ),
    "name with slash": (
        f"<annotation><object><name>../x</name>{BOX.format(9)}</object></annotation>",
        ["class name '../x'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_VOC)
def test_a_bad_xml_is_named_in_one_line(kind, tmp_path):
    content, words = BAD_VOC[kind]
    source = write_voc(tmp_path)
    (source / "a.xml").write_text(content)
    refused(source, tmp_path, words)


BAD_YOLO = {
    "text": ("0 0.5 0.5 x 0.1", ["a.txt line 1", "'x' is not a number"]),
    "not finite": ("0 0.5 0.5 inf 0.1", ["'inf' is not a number"]),
    "class beyond": ("2 0.5 0.5 0.1 0.1", ["class 2", "0 to 1", "pit, crack"]),
    "half a class": ("0.5 0.5 0.5 0.1 0.1", ["class 0.5"]),
    "confidence": ("0 0.5 0.5 0.1 0.1 0.9", ["6 numbers"]),
    "pixels": ("0 30 12 4 4", ["shares of the image"]),
    "no image": (None, ["'z'", "not in the image folder"]),
}


@pytest.mark.parametrize("kind", BAD_YOLO)
def test_a_bad_line_is_named_in_one_line(kind, tmp_path):
    content, words = BAD_YOLO[kind]
    source = write_yolo(tmp_path)
    (source / ("a.txt" if content else "z.txt")).write_text(content or "")
    refused(source, tmp_path, words)


@pytest.mark.parametrize("kind", ["box outside", "negative width", "counts too many"])
def test_objects_that_are_not_drawn_are_checked_as_well(kind, tmp_path):
    content, words = BAD_COCO[kind]
    content["annotations"][1]["segmentation"] = []  # one without an outline, so labels alone
    refused(write_coco(tmp_path, content), tmp_path, words, boxes_as_masks=False)


def test_a_box_outside_of_the_image_sets_no_label(tmp_path):
    source = write_voc(tmp_path)
    (source / "a.xml").write_text(BAD_VOC["outside"][0])
    refused(source, tmp_path, BAD_VOC["outside"][1], boxes_as_masks=False)


def test_two_files_for_one_image_are_refused(tmp_path):
    source = write_yolo(tmp_path)
    (source / "a.jpg.txt").write_text("")
    refused(source, tmp_path, ["a.txt", "a.jpg.txt", "both label a.jpg"])


def test_folders_of_nothing_or_of_two_kinds_are_refused(tmp_path):
    source = tmp_path / "labels"
    source.mkdir()
    refused(source, tmp_path, ["neither .xml nor .txt"])
    (source / "a.xml").write_text("")
    (source / "a.txt").write_text("")
    refused(source, tmp_path, ["both .xml and .txt"])
    refused(tmp_path / "absent", tmp_path, ["does not exist"])


def test_the_command_says_what_came_out_and_what_is_next(tmp_path, monkeypatch, capsys):
    source, images, out = write_voc(tmp_path), strips(tmp_path), tmp_path / "out"
    write_strips(images, ["further.jpg"])
    command.main([str(source), "--images", str(images), "--output", str(out)])
    printed = capsys.readouterr().out
    shown = sum(any(category == 0 for category, _ in found) for found in BOXES.values())
    assert f"{out / 'labels.csv'}: 3 images, crack 2, pit {shown}, clean 1" in printed
    assert "Left out: 1 image without annotations" in printed
    assert f"validate_data.py data.root={out} 'data.image_size=[32,64]'" in printed
    monkeypatch.setattr(
        "sys.argv", ["convert.py", str(source), "--images", str(images), "--output", str(out)]
    )
    with pytest.raises(SystemExit) as ended:
        run_command(command.main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "labels.csv exists" in line


def test_names_that_a_spreadsheet_would_run_come_back(tmp_path):
    write_strips(tmp_path / "images", ["=a.jpg"])
    image = {"id": 1, "file_name": "=a.jpg", "height": SIZE[0], "width": SIZE[1]}
    one = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}
    content = {"images": [image], "categories": [{"id": 1, "name": "-pit"}], "annotations": [one]}
    source = write_coco(tmp_path, json.dumps(content))
    convert(source, tmp_path / "images", ConversionOptions(tmp_path / "out"))
    table = read_label_table(tmp_path / "out", image_size=SIZE)
    assert (table.image_ids, table.class_names) == (("=a.jpg",), ("-pit",))


INSERTED = [b"9" * 30, b"-", b"e99", b"\0", b"<", b'"', b"nan", b"\xff", b".", b",", b"[", b"\n"]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A copy with a few bytes changed, added or gone."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 3])):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice([1, 3, 12]))
        data[start:stop] = rng.choice([b"", data[start:stop] * 2, rng.choice(INSERTED)])
    return bytes(data)


@pytest.mark.parametrize("kind", ["polygons", "counts", "text", "voc", "yolo"])
def test_damaged_annotations_are_converted_or_refused_in_one_line(kind, tmp_path):
    images = strips(tmp_path)
    writers = {"voc": write_voc, "yolo": lambda root: write_yolo(root, polygons=True)}
    write = writers.get(kind, lambda root: write_coco(root, coco(kind)))
    source = write(tmp_path)
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    refusals = 0
    for seed in range(80):
        rng = random.Random(seed)
        file = rng.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, rng))
        out = tmp_path / str(seed)
        options = ConversionOptions(out, boxes_as_masks=seed % 2 == 0)
        if refused_or(convert, source, images, options):
            assert len(read_label_table(out, image_size=SIZE)) <= len(IMAGES)
        else:
            refusals += 1
            assert not out.exists()
        file.write_bytes(whole)
    assert 5 < refusals < 80
