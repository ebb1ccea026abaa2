"""The augmentation pipeline: toggles, seeding, borders, masks, records."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.augmentation import pipelines
from core.augmentation.pipelines import AugmentationPipeline
from core.augmentation.settings import AugmentationSettings
from core.errors import InputError

OFF = dict.fromkeys(AugmentationSettings.model_fields)


def strip(channels: int | None = None) -> np.ndarray:
    shape = (64, 320) if channels is None else (64, 320, channels)
    return np.random.default_rng(3).integers(40, 200, shape, dtype=np.uint8)


LABELS = np.array([1, 0, 1, 0], np.float32)
NUM_CLASSES = len(LABELS)


def masks_of_two_classes() -> np.ndarray:
    masks = np.zeros((NUM_CLASSES, 64, 320), np.uint8)
    masks[0, 5:12, 40:60] = masks[2, 10:20, 130:160] = 1
    return masks


def only(channels: int = 1, **toggles: object) -> AugmentationPipeline:
    return AugmentationPipeline({**OFF, **toggles}, channels=channels, seed=5)


EFFECTS = {
    "blackout": {"probability": 1},
    "horizontal_shift": {"probability": 1, "pixels": 100},
    "horizontal_flip": {"probability": 1},
    "vertical_flip": {"probability": 1},
    "rotation": {"probability": 1, "degrees": 10},
    "brightness_contrast": {"probability": 1, "brightness": 0.4},
    "color_jitter": {"probability": 1, "saturation": 0.8, "hue": 0.3},
    "gaussian_blur": {"probability": 1, "kernel_size": 7},
}


EVERYTHING = {name: True for name in EFFECTS if name != "color_jitter"}


# These act on batches: tests/augmentation/test_mixing.py.
OF_BATCHES = {"mixup", "cutmix"}


def test_every_toggle_is_tried_below():
    assert set(EFFECTS) | OF_BATCHES == set(AugmentationSettings.model_fields)


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("off", [None, False])
def test_toggle_changes_the_image_and_null_or_false_does_not(name, off):
    channels = 3 if name == "color_jitter" else None
    image = strip(channels)
    masks = masks_of_two_classes()
    pipeline = only(channels or 1, **{name: EFFECTS[name]})
    changed, _, _ = pipeline(image, masks, LABELS, epoch=0, index=0)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, image)
    switched_off = only(channels or 1, **{name: off})
    assert switched_off.record() == []
    assert not switched_off.uses_masks
    same, same_masks, same_labels = switched_off(image, masks, LABELS, epoch=0, index=0)
    assert np.array_equal(same, image)
    assert np.array_equal(same_masks, masks)
    assert np.array_equal(same_labels, LABELS)


# For each key of a transform, two values that must not come to the same.
KEYS = {
    "blackout": {"probability": (0.2, 0.9), "fill": ("texture", "mean")},
    "horizontal_shift": {"probability": (0.2, 0.9), "pixels": (5, 60)},
    "horizontal_flip": {"probability": (0.2, 0.9)},
    "vertical_flip": {"probability": (0.2, 0.9)},
    "rotation": {"probability": (0.2, 0.9), "degrees": (2, 20)},
    "brightness_contrast": {
        "probability": (0.2, 0.9),
        "brightness": (0.1, 0.5),
        "contrast": (0.1, 0.5),
    },
    "color_jitter": {"probability": (0.2, 0.9), "saturation": (0.2, 0.9), "hue": (0.1, 0.4)},
    "gaussian_blur": {"probability": (0.2, 0.9), "kernel_size": (3, 15)},
    "mixup": {"probability": (0.2, 0.9), "alpha": (0.1, 5.0)},
    "cutmix": {"probability": (0.2, 0.9), "alpha": (0.1, 5.0)},
}


def test_every_key_of_every_transform_is_tried_below():
    fields = {key: set(type(default_on(key)).model_fields) for key in KEYS}
    assert {key: set(values) for key, values in KEYS.items()} == fields
    assert set(KEYS) == set(AugmentationSettings.model_fields)


def default_on(name: str) -> object:
    return getattr(only(3, **{name: True}).settings, name)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in KEYS for key in KEYS[name]])
def test_every_key_changes_what_comes_out(name, key):
    channels = 3 if name == "color_jitter" else None
    needed = {"saturation": 0.5} if name == "color_jitter" and key == "probability" else {}
    results = []
    for value in KEYS[name][key]:
        pipeline = only(channels or 1, **{name: {"probability": 1, **needed, key: value}})
        strips = [
            pipeline(strip(channels), masks_of_two_classes(), LABELS, epoch=1, index=index)
            for index in range(8)
        ]
        if pipeline.batch_transform is not None:
            strips = [(255 - s[0] if n % 2 else s[0], *s[1:]) for n, s in enumerate(strips)]
            strips = pipeline.batch_transform(strips, epoch=1, indices=range(8))
        results.append(np.stack([image for image, _, _ in strips]))
    assert not np.array_equal(*results)


def test_true_means_on_with_the_defaults():
    assert only(rotation=True).settings.rotation == AugmentationSettings().rotation


def test_what_is_off_by_default_is_on_with_true_and_needs_nothing_else():
    default = AugmentationPipeline()
    assert not default.needs_masks
    assert "Blackout" not in [entry["__class_fullname__"] for entry in default.record()]
    assert only(blackout=True).needs_masks
    assert only(blackout=True).record()[0]["probability"] > 0


@pytest.mark.parametrize(
    ("toggles", "words"),
    [
        ({"rotatoin": True}, ["rotatoin", "'rotation'"]),
        ({"rotation": {"degrees": 90}}, ["rotation", "45"]),
        ({"rotation": {"angle": 3}}, ["rotation", "angle"]),
        ({"gaussian_blur": {"kernel_size": 4}}, ["gaussian_blur", "odd"]),
        ({"horizontal_flip": {"probability": 1.5}}, ["horizontal_flip", "1"]),
        ({"vertical_flip": 1.5}, ["vertical_flip.probability=1.5", "1"]),
    ],
)
def test_bad_input_is_one_line_that_names_it(toggles, words):
    with pytest.raises(InputError) as error:
        AugmentationPipeline(toggles)
    line = str(error.value)
    assert "\n" not in line
    assert all(word in line for word in ["augmentation", *words])


def test_a_plain_number_is_a_probability():
    pipeline = AugmentationPipeline({"horizontal_flip": 0.25, "rotation": 1, "vertical_flip": 0})
    assert pipeline.settings.horizontal_flip.probability == 0.25
    assert (pipeline.settings.rotation.probability, pipeline.settings.rotation.degrees) == (1, 2)
    assert pipeline.settings.vertical_flip.probability == 0


def test_colour_of_grey_strips_is_left_as_it_is_and_said(caplog):
    pipelines._say_once.cache_clear()
    only(color_jitter={"saturation": 0.5, "hue": 0.1})
    pipeline = only(color_jitter={"saturation": 0.5, "hue": 0.1})
    assert pipeline.is_empty
    assert caplog.text.count("augmentation.color_jitter has no effect") == 1


def test_it_builds_a_pipeline_of_albumentations():
    image, masks = strip(), masks_of_two_classes()
    built = AugmentationPipeline({"horizontal_flip": 1.0, "rotation": False}, seed=3).build()
    changed = built(image=image, masks=masks)
    assert changed["image"].shape == image.shape
    assert not np.array_equal(changed["image"], image)
    again = AugmentationPipeline({"horizontal_flip": 1.0, "rotation": False}, seed=3).build()
    assert np.array_equal(again(image=image, masks=masks)["image"], changed["image"])
    with pytest.raises(InputError, match=r"augmentation\.cutmix changes labels"):
        AugmentationPipeline({"cutmix": 0.5}).build()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 500), index=st.integers(0, 20_000))
def test_outcome_depends_on_seed_epoch_and_index_alone(seed, epoch, index):
    image, masks = strip(), masks_of_two_classes()
    one, other = (AugmentationPipeline(EVERYTHING, seed=seed) for _ in range(2))
    for unrelated in range(3):
        other(image, masks, LABELS, epoch=unrelated, index=unrelated)
    np.random.seed(1)  # global state must not matter
    expected = one(image, masks, LABELS, epoch=epoch, index=index)
    found = other(image, masks, LABELS, epoch=epoch, index=index)
    for ours, theirs in zip(expected, found, strict=True):
        assert np.array_equal(ours, theirs)


def test_images_and_epochs_differ_and_transforms_do_not_fire_together():
    pipeline = only(horizontal_flip=True, vertical_flip=True)
    image = strip()
    seen = {}
    for epoch in range(2):
        for index in range(60):
            out, _, _ = pipeline(image, None, LABELS, epoch=epoch, index=index)
            variants = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
            kind = [np.array_equal(out, variant) for variant in variants].index(True)
            seen.setdefault(epoch, []).append(kind)
    assert seen[0] != seen[1]
    assert all(set(kinds) == {0, 1, 2, 3} for kinds in seen.values())


def test_rotation_brings_no_black_corner_in():
    image = np.full((64, 320), 150, np.uint8)
    pipeline = only(rotation={"degrees": 20, "probability": 1})
    rotated, _, _ = pipeline(image, None, LABELS, epoch=1, index=1)
    assert rotated.min() == 150


def test_a_defect_that_turns_out_of_the_image_loses_its_label():
    masks = np.zeros((4, 64, 320), np.uint8)
    masks[1, :2, :2] = masks[2, 20:40, 100:200] = 1
    labels = np.float32([1, 1, 1, 0])  # the first has no pixels, so it cannot be seen to leave
    pipeline, seen = only(rotation={"degrees": 20, "probability": 1}), set()
    for index in range(20):
        _, moved, left = pipeline(strip(), masks, labels, epoch=0, index=index)
        assert left.dtype == np.float32
        assert left.tolist() == [1, float(moved[1].any()), 1, 0]
        seen.add(left[1])
    assert seen == {0, 1}


def test_masks_follow_the_geometry_of_their_image():
    masks = np.zeros((4, 64, 320), np.uint8)
    masks[2, 10:20, 30:60] = 1
    image = np.where(masks[2], 255, 0).astype(np.uint8)
    pipeline = only(horizontal_flip=True, vertical_flip=True, rotation=EFFECTS["rotation"])
    for index in range(8):
        changed, moved, labels = pipeline(image, masks, LABELS, epoch=0, index=index)
        assert np.array_equal(labels, LABELS)
        assert moved.shape == masks.shape
        assert moved[[0, 1, 3]].sum() == 0
        overlap = ((changed > 127) & (moved[2] > 0)).sum() / (moved[2] > 0).sum()
        assert overlap > 0.9


def test_a_transform_more_does_not_change_what_the_others_draw():
    """Flips are the same with and without blackout, so that on and off compare like with like."""
    image, masks = strip(), masks_of_two_classes()
    flips = {"horizontal_flip": True, "vertical_flip": True}
    without, painting = only(**flips), only(**flips, blackout=True)
    outside = masks.any(axis=0) == 0
    for index in range(20):
        expected, moved, _ = without(image, masks, LABELS, epoch=3, index=index)
        found, _, _ = painting(image, masks, LABELS, epoch=3, index=index)
        free = moved.any(axis=0) == 0
        assert free.sum() == outside.sum()
        assert np.array_equal(found[free], expected[free])


def test_record_is_json_and_names_what_runs():
    record = AugmentationPipeline({**OFF, "rotation": {"degrees": 3}}).record()
    assert json.loads(json.dumps(record))[0]["__class_fullname__"] == "Rotate"
    assert list(record[0]["limit"]) == [-3, 3]


def test_it_is_empty_where_images_pass_unchanged():
    assert only().is_empty
    assert only(cutmix={"probability": 1}).is_empty  # mixes what the pipeline hands on
    for name, options in EFFECTS.items():
        assert not only(channels=3, **{name: options}).is_empty
