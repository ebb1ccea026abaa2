"""Painted defects: their masks, what stays as it was, how clearly they show, bad input."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.pretraining.painting.contrast import noise_level, smoothed
from core.pretraining.painting.kinds import KINDS
from core.pretraining.painting.painter import Painter

NONE = dict.fromkeys(KINDS, 0.0)


def steel(size, seed=0, dtype=np.uint8, top=255, waves=0.5):
    """A strip of noise upon smooth waves, of about the middle of its range."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, size), (0, 0), 4)
    grey = 0.4 + waves * smooth + rng.normal(0, 0.04, size)
    return np.clip(grey * top, 0.2 * top, top).astype(dtype)


def only(kind, **changes):
    return Painter(**{**NONE, kind: 1.0, "clean": 0.0, **changes})


def painted(painter, strip=None, sources=None, seed=0):
    strip = steel((64, 160)) if strip is None else strip
    sources = [steel((64, 160), 1), steel((50, 90), 2)] if sources is None else sources
    return painter.paint(strip, sources, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_what_changed(kind):
    strip = steel((64, 160))
    inside = []
    for seed in range(20):
        image, mask = painted(only(kind), strip, seed=seed)
        changed = image != strip
        assert not changed[mask == 0].any()
        inside.append(changed[mask == 1])
    # Within a defect some pixels keep their value by chance.
    assert np.concatenate(inside).mean() > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_nearly_every_defect_of_a_kind_is_painted_and_shows(kind):
    strip = steel((64, 160), waves=0)
    noise = noise_level(strip[..., None].astype(np.float32))
    shown = 0
    for seed in range(30):
        image, mask = painted(only(kind, count=(1, 1)), strip, seed=seed)
        if mask.any():
            shown += 1
            change = np.abs(smoothed((image.astype(np.float32) - strip)[..., None]))
            # The noise about a defect may be a little less than that of the whole strip.
            assert np.sqrt(np.mean(change[mask == 1] ** 2)) > 1.2 * noise
    assert shown >= 27


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_as_strong_as_was_asked(kind):
    def strength(contrast):
        strip = steel((64, 160))
        images = [painted(only(kind, contrast=contrast), strip, seed=s) for s in range(20)]
        changes = [np.abs(image.astype(float) - strip)[mask == 1] for image, mask in images]
        return np.concatenate(changes).mean()

    assert strength((4, 6)) > 1.5 * strength((1.5, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_defects_have_the_sizes_that_were_asked(kind):
    def mean_area(size):
        masks = [painted(only(kind, size=size, count=(1, 1)), seed=s).mask for s in range(20)]
        return np.mean([mask.sum() for mask in masks])

    small, large = mean_area((0.05, 0.1)), mean_area((0.5, 0.6))
    assert 4 <= small < 100 < large < 64 * 64


def test_the_asked_share_of_strips_stays_clean():
    painter = Painter(clean=0.4)
    results = [painted(painter, seed=seed) for seed in range(120)]
    assert 0.28 < np.mean([not result.mask.any() for result in results]) < 0.52
    strip = steel((64, 160))
    assert all((r.image == strip).all() for r in results if not r.mask.any())
    assert not any(painted(Painter(clean=1.0), seed=seed).mask.any() for seed in range(20))
    assert all(painted(Painter(clean=0.0), seed=seed).mask.any() for seed in range(20))


def test_the_number_of_defects_is_within_the_count():
    painter = only("cut_paste", count=(3, 3), size=(0.05, 0.06), contrast=(6, 8))
    strip = steel((256, 800))
    parts = [
        cv2.connectedComponents(painted(painter, strip, [strip], seed).mask)[0] - 1
        for seed in range(10)
    ]
    assert sorted(parts)[5] == 3
    assert max(parts) <= 6


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 90),
    channels=st.sampled_from([None, 1, 3, 4]),
    depth=st.sampled_from([8, 10, 12, 16]),
    kind=st.sampled_from(sorted(KINDS)),
    fill=st.sampled_from(["steel", "flat", "black", "white"]),
    seed=st.integers(0, 1000),
)
def test_any_size_depth_and_number_of_channels(height, width, channels, depth, kind, fill, seed):
    dtype, top = (np.uint8 if depth == 8 else np.uint16), (1 << depth) - 1
    level = {"flat": top // 2, "black": 0, "white": top}
    grey = (
        steel((height, width), seed, dtype, top)
        if fill == "steel"
        else np.full((height, width), level[fill], dtype)
    )
    strip = grey if channels is None else np.repeat(grey[..., None], channels, axis=2)
    kept = strip.copy()
    image, mask = only(kind).paint(strip, [strip[:, : width // 2 + 1]], np.random.default_rng(seed))
    assert (image.shape, image.dtype) == (strip.shape, strip.dtype)
    assert (mask.shape, mask.dtype) == (strip.shape[:2], np.uint8)
    assert mask.max() <= 1
    assert image.max() <= top
    assert (image[mask == 0] == strip[mask == 0]).all()
    assert (strip == kept).all()
    if fill == "black":
        assert not mask.any()
    if channels in (3, 4):
        assert (image == image[..., :1]).all(), "grey in colour stays grey"


def test_the_result_depends_on_the_arguments_alone():
    strip, sources = steel((64, 160)), [steel((64, 160), 1), steel((64, 160), 2)]
    kept = [source.copy() for source in sources]
    first = Painter().paint(strip, sources, np.random.default_rng(5))
    np.random.default_rng(1).random(10)
    again = Painter().paint(strip.copy(), kept, np.random.default_rng(5))
    other = Painter().paint(strip, sources, np.random.default_rng(6))
    assert (first.image == again.image).all()
    assert (first.mask == again.mask).all()
    assert (first.image != other.image).any()
    assert all((a == b).all() for a, b in zip(sources, kept, strict=True))
    assert not np.shares_memory(first.image, strip)


def test_a_clean_result_may_be_written_to():
    strip = steel((64, 160))
    assert not np.shares_memory(painted(Painter(clean=1.0), strip).image, strip)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_painted_beside_the_steel_or_made_of_what_is_there(kind):
    strip = steel((64, 160))
    strip[:, 100:] = 3
    for seed in range(15):
        image, mask = painted(only(kind), strip, [strip], seed)
        assert not mask[:, 100:].any()
        assert (image[:, 100:] == strip[:, 100:]).all()
    # Of what is black nothing is cut: no texture is found.
    black = np.zeros_like(strip)
    assert not painted(only(kind), steel((64, 160)), [black], 0).mask.any() or kind == "cut_paste"


def test_without_sources_the_strip_is_its_own():
    assert all(painted(only(kind), sources=[], seed=1).mask.any() for kind in KINDS)


def test_mirrored_views_are_strips_as_others():
    strip = steel((64, 160))
    mirrored, source = strip[:, ::-1], steel((64, 160), 1)[::-1]
    image, mask = painted(Painter(clean=0), mirrored, [source])
    same = painted(Painter(clean=0), mirrored.copy(), [source.copy()])
    assert mask.any()
    assert (image == same.image).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_may_touch_the_edge_of_the_image(kind):
    masks = [painted(only(kind, size=(0.3, 0.5)), seed=seed).mask for seed in range(30)]
    edges = [(mask[0].any(), mask[-1].any()) for mask in masks]
    assert np.any(edges, axis=0).all()


def test_the_kinds_are_drawn_by_their_shares():
    strip = steel((64, 160))
    alone = painted(only("cut_paste"), strip, seed=3)
    weighted = painted(Painter(cut_paste=7.0, poisson_patches=0, perlin_texture=0, clean=0), strip,
                       seed=3)  # fmt: skip
    assert (alone.image == weighted.image).all()
    names = {field for field in Painter.__dataclass_fields__ if field in KINDS}
    assert names == set(KINDS), "a kind is a field of the painter"


@pytest.mark.parametrize(
    ("strip", "sources", "message"),
    [
        (np.zeros((8, 8), np.float32), [], "strip: float32 of shape (8, 8); expected uint8 or"),
        (np.zeros((0, 8), np.uint8), [], "no side 0"),
        (np.zeros(8, np.uint8), [], "expected uint8 or uint16 of shape (H, W)"),
        (np.zeros((8, 8, 5), np.uint8), [], "up to 4 channels"),
        (np.zeros((8, 8), np.uint8), [np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint16)],
         "source 1: uint16 with 1 channels; expected uint8 with 1, as the strip"),
        (np.zeros((8, 8), np.uint8), [np.zeros((8, 8, 3), np.uint8)],
         "source 0: uint8 with 3 channels; expected uint8 with 1"),
    ],
)  # fmt: skip
def test_strips_that_do_not_fit_are_refused(strip, sources, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        Painter().paint(strip, sources, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean": 1.5}, "clean=1.5: expected a share in 0..1"),
        ({"count": (0, 2)}, "count=(0, 2): expected least and most, from 1"),
        ({"count": (3, 2)}, "count=(3, 2)"),
        ({"size": (0.4, 0.1)}, "size=(0.4, 0.1): expected least and most, above 0 and up to 1"),
        ({"size": (0.1, float("nan"))}, "size=(0.1, nan)"),
        ({"contrast": (0.0, 2.0)}, "contrast=(0.0, 2.0): expected least and most, above 0"),
        ({"contrast": (8.0, 1.5)}, "contrast=(8.0, 1.5): expected least and most, above 0"),
        ({"contrast": (1.5, float("inf"))}, "contrast=(1.5, inf): expected least and most"),
        ({"cut_paste": -1.0}, "cut_paste=-1.0: expected a finite share from 0"),
        (NONE, "expected one of them above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Painter(**changes)
