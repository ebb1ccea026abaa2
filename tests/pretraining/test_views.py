"""Two views of a strip: what differs between them, and that nothing else decides their pixels."""

import numpy as np
import pytest

from core.errors import InputError
from core.pretraining.contact_sheet import write_pairs
from core.pretraining.strips import Strips, ViewDataset
from core.pretraining.views import PairOfViews, ViewSettings
from core.validation import validate

OFF = {"horizontal_flip": 0, "vertical_flip": 0, "gain": 0, "offset": 0}
STRIP = np.random.default_rng(0).integers(40, 200, (16, 64), dtype=np.uint8)
CHANGES = {
    "horizontal_flip": 1,
    "vertical_flip": 1,
    "gain": 0.5,
    "offset": 0.3,
    "blur": 1,
    "crop": 0.5,
}


def pair(seed=1, epoch=1, index=0, image=STRIP, **settings):
    views = PairOfViews(ViewSettings(**settings), seed)
    return views(image, epoch=epoch, index=index)


def test_without_changes_both_views_are_the_strip():
    for view in pair(**OFF):
        np.testing.assert_array_equal(view, STRIP)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_has_an_effect_and_keeps_the_size(change):
    for view in pair(**{**OFF, change: CHANGES[change]}):
        assert view.shape == STRIP.shape
        assert view.dtype == np.uint8
        assert not np.array_equal(view, STRIP)


def test_flips():
    mirrored, _ = pair(**{**OFF, "horizontal_flip": 1})
    np.testing.assert_array_equal(mirrored, STRIP[:, ::-1])
    upside_down, _ = pair(**{**OFF, "vertical_flip": 1})
    np.testing.assert_array_equal(upside_down, STRIP[::-1])


def test_gain_and_offset_stay_within_their_bounds():
    for index in range(20):
        bright, _ = pair(index=index, **{**OFF, "gain": 0.2})
        ratios = bright.astype(float) / STRIP
        assert 0.78 < ratios.min() <= ratios.max() < 1.22
        lifted, _ = pair(index=index, **{**OFF, "offset": 0.1})
        assert np.abs(lifted.astype(int) - STRIP).max() <= 26


def test_by_default_a_view_loses_nothing():
    """Neither crops nor blur are on: a defect is in both views."""
    settings = ViewSettings()
    assert (settings.crop, settings.blur, settings.window) == (1.0, 0.0, None)


def test_pixels_depend_on_seed_epoch_and_index_alone():
    first = pair()
    np.testing.assert_array_equal(np.stack(first), np.stack(pair()))
    for other in ({"seed": 2}, {"epoch": 2}, {"index": 1}):
        assert not np.array_equal(np.stack(first), np.stack(pair(**other)))
    assert not np.array_equal(*first)


def test_both_views_show_the_same_window():
    places = set()
    for index in range(10):
        first, second = pair(index=index, window=(8, 16), **OFF)
        np.testing.assert_array_equal(first, second)
        assert first.shape == (8, 16)
        places.add(first.tobytes())
    assert len(places) > 5


def test_colour_strips():
    colour = np.stack([STRIP, STRIP, STRIP], 2)
    assert all(view.shape == colour.shape for view in pair(image=colour, blur=1, crop=0.7))


@pytest.mark.parametrize("wrong", [{"gain": 1.5}, {"crop": 0}, {"window": [0, 4]}, {"blurr": 1}])
def test_wrong_values_are_refused_in_one_line(wrong):
    (key,) = wrong
    with pytest.raises(InputError, match=f"^views: {key}"):
        validate(ViewSettings, wrong, "views")


class Memory:
    def read(self, index, writable=True):
        return np.full((16, 64), index, np.uint8)


def test_a_batch_holds_pairs_with_their_rows():
    labels = np.eye(5, 2, dtype=np.uint8)
    dataset = ViewDataset(
        Strips(Memory(), list("abcde"), labels), np.array([1, 3, 4]), PairOfViews(ViewSettings(), 0)
    )
    batch = dataset.__getitems__([2, 0])
    assert batch["image"].shape == batch["second_view"].shape == (2, 1, 16, 64)
    assert batch["image_id"] == ["e", "b"]
    assert batch["row"].tolist() == [4, 1]
    assert batch["labels"].tolist() == [[0, 0], [0, 1]]


def test_the_contact_sheet_is_written(tmp_path):
    strips = Strips(Memory(), [f"strip_{number}.jpg" for number in range(5)])
    write_pairs(tmp_path, ViewDataset(strips, np.arange(5), PairOfViews(ViewSettings(), 0)))
    assert (tmp_path / "view_pairs.jpg").read_bytes()[:2] == b"\xff\xd8"
