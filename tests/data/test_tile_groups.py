"""Groups of photographs of magnetic tiles, whose names tell which were taken in one series."""

import re

import numpy as np
import pytest

from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import find_duplicate_pairs
from core.data.images import ImageFormat
from core.data.strip_hash import strip_descriptors
from core.files.resizing import Resize

# Milliseconds within which one camera took the next light of the same tile.
LONGEST_PAUSE = 250


def series_of(names: list[str]) -> np.ndarray:
    """Number of the series of each `exp<light>_num<time>.jpg`: the lights 1, 2, ... of one tile.

    Two series that were taken at once are told apart by their lights only.
    """
    shots = sorted(
        (int(match[2]), int(match[1]), index)
        for index, name in enumerate(names)
        if (match := re.match(r"exp(\d)_num_(\d+)", name))
    )
    series, open_series = np.full(len(names), -1), []
    for time, light, index in shots:
        following = [
            one
            for one in open_series
            if 0 < light - one["light"] <= 2 and time - one["time"] < LONGEST_PAUSE
        ]
        if following:
            chosen = min(following, key=lambda one: (light - one["light"], one["time"]))
        else:
            chosen = {"number": len(open_series)}
            open_series.append(chosen)
        chosen |= {"light": light, "time": time}
        series[index] = chosen["number"]
    return series


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Resize((96, 80)), Resize((64, 400), "letterbox")], ids=str)
def test_photographs_of_one_tile_are_together_and_other_tiles_under_one_light_are_not(
    shared_file, rule
):
    """Before groups were confirmed, one of 112 photographs joined 19 tiles."""
    folder = shared_file("data/real/magnetic_tile/labels.csv").parent / "train_images"
    paths = sorted(folder.iterdir())
    series = series_of([path.name for path in paths])
    descriptors = strip_descriptors(paths, ImageFormat(rule))
    groups = duplicate_groups(len(paths), find_duplicate_pairs(descriptors))
    assert np.bincount(groups).max() == 15  # one tile, photographed in four series
    rows, columns = np.triu_indices(len(paths), 1)
    same_series = series[rows] == series[columns]
    together = groups[rows] == groups[columns]
    assert together[same_series].mean() > 0.85
    # Of these, 52 are of two tiles; the others were photographed in several series.
    assert (together & ~same_series).sum() < 450
