"""Generated strips: reproducible bytes, the real set's layout, masks that lie on the steel."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.errors import InputError
from core.synthetic.border import Border
from core.synthetic.canvas import Canvas
from core.synthetic.cracks import draw_cracks
from core.synthetic.generator import StripSettings, generate_strips
from core.synthetic.pits import draw_pits
from core.synthetic.scale import draw_scale
from core.synthetic.scratches import draw_scratches
from core.synthetic.strip import draw_strip

SMALL = (64, 320)
SETTINGS = StripSettings(40, SMALL, class_shares="flat", seed=3)


def decode(code: str, size: tuple[int, int]) -> np.ndarray:
    """Column-major run lengths by a plain loop, apart from the code under test."""
    height, width = size
    mask = np.zeros(size, bool)
    numbers = [int(token) for token in code.split()]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        for position in range(start - 1, start - 1 + length):
            column, row = divmod(position, height)
            assert column < width
            mask[row, column] = True
    return mask


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / "train.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("strips") / "set"
    return generate_strips(root, SETTINGS)


def test_the_same_seed_gives_the_same_bytes(strips: Path, tmp_path: Path) -> None:
    again = generate_strips(tmp_path / "again", SETTINGS)
    assert contents(again) == contents(strips)


def test_another_seed_gives_other_strips(strips: Path, tmp_path: Path) -> None:
    other = generate_strips(tmp_path / "other", replace(SETTINGS, seed=4))
    assert not set(contents(other)) & set(contents(strips)) - {"train.csv", "manifest.json"}


@pytest.mark.slow
def test_the_worker_count_changes_nothing(strips: Path, tmp_path: Path) -> None:
    parallel = generate_strips(tmp_path / "parallel", SETTINGS, num_workers=2)
    assert contents(parallel) == contents(strips)


def test_the_layout_is_that_of_the_real_set(strips: Path) -> None:
    images = sorted(path.name for path in (strips / "train_images").iterdir())
    assert len(images) == 40
    assert all(re.fullmatch(r"[0-9a-f]{9}\.jpg", name) for name in images)
    header = (strips / "train.csv").read_text().splitlines()[0]
    assert header == "ImageId,ClassId,EncodedPixels"
    rows = rows_of(strips)
    keys = [(row["ImageId"], row["ClassId"]) for row in rows]
    assert keys == sorted(set(keys))
    assert {name for name, _ in keys} < set(images), "some strips are clean and have no row"
    assert {class_id for _, class_id in keys} == {"1", "2", "3", "4"}


def test_images_are_grey_and_of_the_size_asked_for(strips: Path) -> None:
    for path in (strips / "train_images").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (*SMALL, 3)
        assert image.dtype == np.uint8
        assert (image == image[:, :, :1]).all()
        assert image.std() > 3


def test_masks_decode_are_not_empty_and_lie_on_the_steel(strips: Path) -> None:
    for row in rows_of(strips):
        mask = decode(row["EncodedPixels"], SMALL)
        assert mask.sum() >= 8
        image = cv2.imread(str(strips / "train_images" / row["ImageId"]), cv2.IMREAD_GRAYSCALE)
        # The background is nearly black over whole columns (JPEG rings a little at the edge).
        background = image.max(axis=0) < 16
        assert not mask[:, background].any()


@pytest.mark.parametrize("size", [(32, 64), SMALL, (100, 733), (128, 800)])
@pytest.mark.parametrize("class_id", [1, 2, 3, 4])
def test_any_size_carries_visible_defects_on_steel(size: tuple[int, int], class_id: int) -> None:
    labels = np.eye(4, dtype=int)[class_id - 1]
    for seed in range(3):
        image, masks = draw_strip(np.random.default_rng(seed), size, labels)
        # The border is the first thing drawn from the generator, so that it can be drawn again.
        steel = Border(np.random.default_rng(seed), size, labels).steel
        assert image.shape == size
        assert image.dtype == np.uint8
        assert list(masks) == [class_id]
        assert set(np.unique(masks[class_id])) == {0, 1}
        assert not (masks[class_id].astype(bool) & ~np.broadcast_to(steel, size)).any()


def test_a_line_outside_a_small_strip_is_drawn_anew() -> None:
    rng = np.random.default_rng(np.random.SeedSequence((42, 58)))
    _, masks = draw_strip(rng, (32, 160), np.array([0, 0, 1, 0]))
    assert masks[3].any()


@pytest.mark.parametrize("draw", [draw_pits, draw_cracks, draw_scratches, draw_scale])
def test_masks_mark_what_was_drawn(draw: Callable[[Canvas], np.ndarray]) -> None:
    """On plain steel nearly every pixel that a defect visibly changes lies in its mask."""
    for seed in range(10):
        size = (256, 1600)
        canvas = Canvas(
            np.full(size, 100, np.float32), np.ones(size, bool), np.random.default_rng(seed)
        )
        mask = draw(canvas).astype(bool)
        changed = np.abs(canvas.image - 100) > 20
        assert changed.any()
        assert changed[mask].mean() > 0.01
        assert (changed & mask).sum() > 0.8 * changed.sum()


@pytest.mark.slow
def test_mask_areas_are_ordered_as_in_the_real_set() -> None:
    """Cracks and pits are small, scratches larger, scale the largest (real medians, in percent:
    0.7, 0.9, 4.2, 9.7)."""
    areas = {}
    for class_id in (1, 2, 3, 4):
        labels = np.eye(4, dtype=int)[class_id - 1]
        drawn = [draw_strip(np.random.default_rng(s), SMALL, labels)[1] for s in range(60)]
        areas[class_id] = 100 * float(np.median([masks[class_id].mean() for masks in drawn]))
    assert max(areas[1], areas[2]) < areas[3] < areas[4]
    assert 0.4 < areas[1] < 2.5
    assert 0.4 < areas[2] < 2.5
    assert 2 < areas[3] < 9
    assert 4 < areas[4] < 20


@pytest.mark.slow
def test_brightness_and_contrast_are_like_those_of_the_real_strips(severstal_sample: Path) -> None:
    real, drawn = [], []
    for path in sorted((severstal_sample / "train_images").glob("*.jpg"))[::4]:
        real.append(_statistics(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    for seed in range(25):
        labels = np.eye(5, 4, -1, dtype=int)[seed % 5]
        drawn.append(_statistics(draw_strip(np.random.default_rng(seed), (256, 1600), labels)[0]))
    ratio = np.median(drawn, axis=0) / np.median(real, axis=0)
    assert (ratio > 0.6).all(), ratio
    assert (ratio < 1.6).all(), ratio


def test_the_manifest_names_all_settings_and_the_counts(strips: Path) -> None:
    manifest = json.loads((strips / "manifest.json").read_text())
    assert manifest["num_images"] == 40
    assert manifest["image_size"] == list(SMALL)
    assert manifest["class_shares"] == "flat"
    assert manifest["seed"] == 3
    rows = rows_of(strips)
    for class_id, count in manifest["images_per_class"].items():
        assert sum(row["ClassId"] == class_id for row in rows) == count
    assert manifest["clean_images"] == 40 - len({row["ImageId"] for row in rows})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_images": 0}, "data.num_images=0"),
        ({"seed": -1}, "data.generation_seed=-1"),
        ({"image_size": (16, 320)}, "data.image_size"),
        ({"image_size": (64, 100)}, "data.image_size"),
        ({"class_shares": "even"}, "data.class_shares='even'"),
        ({"class_shares": (0.1, 0.2)}, "data.class_shares"),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, change: dict, key: str) -> None:
    settings = {"num_images": 8, "image_size": SMALL, "seed": 0, **change}
    with pytest.raises(InputError, match=re.escape(key)):
        generate_strips(tmp_path / "set", StripSettings(**settings))
    assert not (tmp_path / "set").exists()


def test_images_are_never_added_to_a_folder_that_has_some(strips: Path) -> None:
    before = contents(strips)
    with pytest.raises(InputError, match="exists already"):
        generate_strips(strips, SETTINGS)
    assert contents(strips) == before


def _statistics(image: np.ndarray) -> tuple[float, ...]:
    """Mean, spread, fine texture of the steel, without the black background."""
    steel = image[:, image.mean(axis=0) > 12].astype(np.float32)
    fine = steel - cv2.GaussianBlur(steel, (0, 0), 3)
    return float(steel.mean()), float(steel.std()), float(fine.std())
