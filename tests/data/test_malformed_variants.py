"""400 damaged data sets: each is read rightly or refused in one line, and nothing else happens."""

import base64
import csv
import json
import shutil
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from malformed_variants import LAYOUTS, damage
from strip_folders import SIZE

from core.data.annotations import read_label_table
from core.data.images import read_image
from core.data.settings import DataSettings
from core.data.validation.validate import validate_data
from core.errors import InputError

VARIANTS = 100
# What validation knows beyond the readers, and what decoding finds that a header hides.
BEYOND_READERS = {"labels contradict masks", "split", "image that cannot be decoded"}


def rows_of(path: Path) -> list[list[str]]:
    """Cells by the standard library's reader, which ours does not use."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream)]
    return [row for row in rows if any(row)]


def true_masks(root: Path, table, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Masks (C, H, W) of each image by plain loops over what is on the disk now."""
    masks = {n: np.zeros((len(table.class_names), *size), np.uint8) for n in table.image_ids}
    if table.source == "train.csv":
        for row in rows_of(root / "train.csv")[1:]:
            image_id, class_id = row[:2] if len(row) == 3 else row[0].rsplit("_", 1)
            if class_id in ("", "0", "-1"):
                continue  # a clean image
            numbers = [int(number) for number in row[-1].split()]
            for start, length in zip(numbers[::2], numbers[1::2], strict=True):
                for pixel in range(start - 1, start - 1 + length):
                    masks[image_id][int(float(class_id)) - 1, pixel % size[0], pixel // size[0]] = 1
    else:
        for path in (root / "ann").glob("*.json"):
            for item in json.loads(path.read_bytes())["objects"]:
                png = zlib.decompress(base64.b64decode(item["bitmap"]["data"]))
                pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
                pixels = pixels[..., 3] if pixels.ndim == 3 else pixels
                (x, y), (height, width) = item["bitmap"]["origin"], pixels.shape
                mask = masks[path.name.removesuffix(".json")]
                column = table.class_names.index(item["classTitle"])
                mask[column, y : y + height, x : x + width] |= pixels > 0
    return masks


def check_table(root: Path, table, size: tuple[int, int]) -> None:
    """Every image, label and mask is as on the disk."""
    folder = table.image_paths[0].parent
    found = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    assert list(table.image_ids) == found
    if table.masks is None:
        header, *rows = rows_of(root / "labels.csv")
        assert tuple(header[1:]) == table.class_names
        labels = {row[0]: [int(float(cell)) for cell in row[1:]] for row in rows}
        assert table.labels.tolist() == [labels[image_id] for image_id in table.image_ids]
        return
    for index, (image_id, mask) in enumerate(true_masks(root, table, size).items()):
        np.testing.assert_array_equal(table.masks[index], mask, err_msg=image_id)
        assert table.labels[index].tolist() == mask.any(axis=(1, 2)).astype(int).tolist()


def check_variant(root: Path, size: tuple[int, int]) -> bool:
    """Whether the readers take the data set; validation must say the same, and skipping end."""
    settings = DataSettings(image_size=size, num_workers=1, group_duplicates=False)
    validation = validate_data(root, settings)
    errors = {f.kind for f in validation.findings if f.level == "error"}
    assert all("\n" not in finding.message for finding in validation.findings)
    try:
        table = read_label_table(root, image_size=size)
    except InputError as error:
        line = str(error)
        assert line.isprintable()
        assert len(line) < 1500, line
        assert errors, line
        return False
    check_table(root, table, size)
    assert errors <= BEYOND_READERS, validation.findings
    try:
        skipped = set(read_label_table(root, None, size, "skip").skipped)
    except InputError:
        skipped = set(table.image_ids)
    for path in table.image_paths:
        if path.name not in skipped:
            assert read_image(path, size).shape == size
    return True


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_variants_of_small_data_sets(layout, tmp_path):
    taken = 0
    LAYOUTS[layout](tmp_path / "whole")
    assert check_variant(tmp_path / "whole", SIZE)
    for seed in range(VARIANTS):
        root = tmp_path / str(seed)
        shutil.copytree(tmp_path / "whole", root)
        how = damage(root, seed)
        try:
            taken += check_variant(root, SIZE)
        except Exception as error:
            raise AssertionError(f"{layout}, seed {seed}, {how}: {error!r}") from error
    # Neither everything nor nothing may pass: such a mutator would prove nothing.
    assert 5 < taken < VARIANTS - 30


@pytest.mark.slow
def test_variants_of_real_strips(severstal_sample, tmp_path):
    """Three real strips in two layouts."""
    names = sorted(path.name.removesuffix(".json") for path in (severstal_sample / "ann").iterdir())
    for source in ("train.csv", "ann"):
        whole = tmp_path / f"whole_{source}"
        (whole / "train_images").mkdir(parents=True)
        for name in names:
            shutil.copy(severstal_sample / "train_images" / name, whole / "train_images")
        if source == "ann":
            shutil.copytree(severstal_sample / "ann", whole / "ann")
        else:
            lines = (severstal_sample / "train.csv").read_text().splitlines()
            kept = [line for line in lines if line.partition(",")[0] in names]
            (whole / "train.csv").write_text("\n".join([lines[0], *kept]) + "\n")
        assert check_variant(whole, (256, 1600))
        for seed in range(20):
            root = tmp_path / f"{source}_{seed}"
            shutil.copytree(whole, root)
            how = damage(root, seed)
            try:
                check_variant(root, (256, 1600))
            except Exception as error:
                raise AssertionError(f"{source}, seed {seed}, {how}: {error!r}") from error
