"""Scores of maps: what a perfect map, a wrong one and an empty one come to."""

import numpy as np
import pytest

from core.explaining.methods import HeatMap
from core.explaining.scores import (
    CENTRE,
    RANDOM,
    Scoreboard,
    area_under,
    centre_map,
    deletion_insertion,
    energy_inside,
    enlarge,
    points_at,
)

SIZE = (64, 320)
NAMES = ("a", "b", "c")


def mask_at(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[rows, columns] = 1
    return mask


MASK = mask_at(slice(20, 40), slice(100, 140))


def test_a_map_that_is_the_mask_scores_1():
    assert points_at(MASK.astype(np.float32), MASK) == 1
    assert energy_inside(MASK.astype(np.float32), MASK) == 1


def test_the_peak_may_miss_by_15_pixels_of_256_rows():
    """Of 64 rows, 4."""
    for column, expected in ((139, 1), (143, 1), (144, 0), (96, 1), (95, 0)):
        heat = np.zeros(SIZE, np.float32)
        heat[30, column] = 1
        assert points_at(heat, MASK) == expected


def test_energy_of_a_flat_map_is_the_share_of_the_mask():
    assert energy_inside(np.ones(SIZE), MASK) == pytest.approx(MASK.mean())
    heat = np.where(MASK, 3.0, 1.0)
    inside = 3 * MASK.sum()
    assert energy_inside(heat, MASK) == pytest.approx(inside / (inside + (1 - MASK).sum()))


def test_an_empty_map_points_nowhere():
    assert points_at(np.zeros(SIZE), np.ones(SIZE)) == 0
    assert energy_inside(np.zeros(SIZE), MASK) == 0


def brightness(images: np.ndarray) -> np.ndarray:
    """A model that knows the strip's bright spot by its brightness, as probability of class 1."""
    inside = images[:, 0, MASK > 0].mean(axis=1) / 255
    return np.stack([np.zeros(len(images)), inside, inside / 2], axis=1)


def test_deletion_falls_early_and_insertion_rises_early_for_a_map_on_the_spot():
    image = (200 * MASK)[None].astype(np.uint8)
    steps = 16
    good = deletion_insertion(brightness, image, MASK.astype(np.float32), 1, steps)
    bad = deletion_insertion(brightness, image, 1 - MASK.astype(np.float32), 1, steps)
    for deleted, inserted in (good, bad):
        assert len(deleted) == len(inserted) == steps + 1
        # Nothing deleted, everything inserted: the image itself; the other way round, the blur.
        assert deleted[0] == inserted[-1] == brightness(image[None])[0, 1]
        assert deleted[-1] == inserted[0] < 0.5 * deleted[0]
    assert area_under(good[0]) < area_under(bad[0]) - 0.2
    assert area_under(good[1]) > area_under(bad[1]) + 0.2


def test_area_under_is_the_mean_height():
    assert area_under(np.array([1.0, 1.0, 1.0])) == 1
    assert area_under(np.array([1.0, 0.5, 0.0])) == 0.5


def test_the_centre_map_peaks_in_the_centre():
    heat = centre_map(SIZE)
    assert np.unravel_index(heat.argmax(), SIZE) in [(31, 159), (31, 160), (32, 159), (32, 160)]
    np.testing.assert_allclose(heat, heat[::-1, ::-1])


def test_enlarging_keeps_place_and_values():
    values = np.zeros((8, 40), np.float32)
    values[3, 14] = 1
    heat = enlarge(values, SIZE)
    assert heat.shape == SIZE
    row, column = np.unravel_index(heat.argmax(), SIZE)
    assert (row // 8, column // 8) == (3, 14)


def test_the_scoreboard_scores_classes_that_are_there_beside_the_baselines():
    board = Scoreboard("m", brightness, NAMES, curve_steps=0)
    masks = np.stack([MASK, np.zeros_like(MASK), MASK])
    values = [MASK[::8, ::8].astype(np.float32), np.zeros((8, 40)), np.ones((8, 40))]
    maps = [HeatMap(name, c, values[c]) for c, name in enumerate(NAMES)]
    image = np.zeros((1, *SIZE), np.uint8)
    board.add(image, masks, maps)
    board.add(image, np.zeros_like(masks), maps)
    report = board.report()
    assert report["num_images"] == 1
    assert set(report["maps"]) == {"m", RANDOM, CENTRE}
    per_class = report["maps"]["m"]["per_class"]
    assert [per_class[name]["num_images"] for name in NAMES] == [1, 0, 1]
    assert per_class["a"]["pointing_accuracy"] == 1
    assert per_class["c"]["pointing_accuracy"] == 0
    assert report["maps"]["m"]["macro"]["pointing_accuracy"] == 0.5
    assert report["maps"]["m"]["macro"]["deletion"] is None
    chance = report["maps"][RANDOM]["per_class"]["a"]["energy_inside"]
    assert chance == pytest.approx(MASK.mean(), abs=0.03)


def test_curves_are_averaged_over_images():
    board = Scoreboard("m", brightness, NAMES, curve_steps=4)
    masks = np.stack([np.zeros_like(MASK), MASK, np.zeros_like(MASK)])
    maps = [HeatMap(name, c, MASK.astype(np.float32)) for c, name in enumerate(NAMES)]
    curves = []
    for value in (100, 200):
        image = (value * MASK)[None].astype(np.uint8)
        board.add(image, masks, maps)
        curves.append(deletion_insertion(brightness, image, MASK.astype(np.float32), 1, 4)[0])
    row = board.report()["maps"]["m"]["per_class"]["b"]
    np.testing.assert_allclose(row["deletion_curve"], np.mean(curves, axis=0))
    assert row["deletion"] == pytest.approx(area_under(np.mean(curves, axis=0)))
    # The random map is another one for each image, or a lucky one would be lucky on all.
    first, second = (scored["energy_inside"] for scored in board.rows[RANDOM][1])
    assert first != second


def test_a_map_of_no_class_stands_for_every_class():
    board = Scoreboard("cbam", brightness, NAMES, curve_steps=0)
    values = MASK.astype(np.float32)
    gates = [HeatMap("stage3", None, values), HeatMap("stage4", None, 1 - values)]
    masks = np.stack([MASK, np.zeros_like(MASK), MASK])
    board.add(np.zeros((1, *SIZE), np.uint8), masks, gates)
    maps = board.report()["maps"]
    assert set(maps) == {"cbam stage3", "cbam stage4", RANDOM, CENTRE}
    for name in ("a", "c"):
        found = [maps[f"cbam {gate.name}"]["per_class"][name]["energy_inside"] for gate in gates]
        assert found == [1, 0]
