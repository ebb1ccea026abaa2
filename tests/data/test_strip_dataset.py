from dataclasses import replace

import numpy as np
import pytest
import torch
from strip_folders import SIZE, kaggle_folder, strip_ids, write_csv

from core.data.annotations import read_label_table
from core.data.dataset import MaskRequest, StripDataset
from core.data.images import read_image
from core.errors import InputError

FIRST, SECOND, THIRD, FOURTH = strip_ids(4)


@pytest.fixture
def table(tmp_path):
    kaggle_folder(tmp_path, [f"{SECOND},2,1 40", f"{FOURTH},4,65 3"])
    return read_label_table(tmp_path, image_size=SIZE)


def test_a_sample_keeps_the_contract(table):
    dataset = StripDataset(table, np.array([3, 1]), SIZE)
    assert len(dataset) == 2
    sample = dataset[0]
    assert set(sample) == {"image", "labels", "image_id"}
    assert sample["image_id"] == FOURTH
    assert sample["image"].dtype == torch.uint8
    assert sample["image"].shape == (1, *SIZE)
    np.testing.assert_array_equal(sample["image"][0], read_image(table.image_paths[3], SIZE))
    assert sample["labels"].dtype == torch.float32
    assert sample["labels"].tolist() == [0, 0, 0, 1]


def test_masks_come_only_where_they_are_asked_for(table):
    sample = StripDataset(table, [1], SIZE, masks=MaskRequest(whole=True))[0]
    assert sample["masks"].dtype == torch.uint8
    np.testing.assert_array_equal(sample["masks"], table.masks[1])
    assert sample["masks"].sum() == 40


def test_true_masks_are_had_without_samples_that_hold_them(table):
    for request in (None, MaskRequest(known=np.array([True, True, True, False]))):
        dataset = StripDataset(table, [3, 1], SIZE, masks=request)
        np.testing.assert_array_equal(dataset.true_masks(1), table.masks[1])
        assert (dataset.true_masks(0) is None) == (request is not None)
    assert StripDataset(replace(table, masks=None), [1], SIZE).true_masks(0) is None


def test_three_channels_for_colour_images(table):
    image = StripDataset(table, [0], SIZE, channels=3)[0]["image"]
    assert image.shape == (3, *SIZE)
    np.testing.assert_array_equal(image[0], image[2])


def test_the_transform_is_told_the_epoch_and_the_position_in_the_table(table):
    calls = []

    def flip(image, masks, labels, *, epoch, index):
        calls.append((epoch, index))
        return image[:, ::-1], masks[:, :, ::-1], labels

    dataset = StripDataset(table, [3, 1], SIZE, transform=flip, masks=MaskRequest(whole=True))
    plain = StripDataset(table, [3, 1], SIZE, masks=MaskRequest(whole=True))
    dataset.set_epoch(5)
    batch = dataset.__getitems__([1, 0])
    assert calls == [(5, 1), (5, 3)]
    for key in ("image", "masks"):
        assert torch.equal(batch[key][0], plain[1][key].flip(-1))


def test_masks_of_a_table_without_masks_are_refused(table, tmp_path):
    (tmp_path / "train.csv").unlink()
    write_csv(tmp_path / "labels.csv", ["ImageId,pit", *(f"{i},0" for i in strip_ids(4))])
    labels_only = read_label_table(tmp_path, image_size=SIZE)
    assert len(StripDataset(labels_only, [0], SIZE)[0]) == 3
    with pytest.raises(InputError, match=r"labels\.csv has image-level labels only"):
        StripDataset(labels_only, [0], SIZE, masks=MaskRequest(whole=True))


class Clears:
    """A transform that removes what the masks show, and says that it needs them."""

    needs_masks = True

    def __call__(self, image, masks, labels, *, epoch, index):
        return np.where(masks.any(axis=0), 0, image), masks, np.where(masks.any((1, 2)), 0, labels)


def test_a_transform_that_needs_masks_gets_them_though_samples_have_none(table):
    sample = StripDataset(table, [1], SIZE, transform=Clears())[0]
    assert set(sample) == {"image", "labels", "image_id"}
    assert sample["labels"].tolist() == [0, 0, 0, 0]
    assert sample["image"][0][torch.from_numpy(table.masks[1].any(axis=0))].sum() == 0
    assert table.labels[1].tolist() == [0, 1, 0, 0]


def test_a_transform_that_needs_masks_is_refused_without(table, tmp_path):
    (tmp_path / "train.csv").unlink()
    write_csv(tmp_path / "labels.csv", ["ImageId,pit", *(f"{i},0" for i in strip_ids(4))])
    with pytest.raises(InputError, match=r"labels\.csv has image-level labels only"):
        StripDataset(read_label_table(tmp_path, image_size=SIZE), [0], SIZE, transform=Clears())


def test_masks_that_are_not_known_are_shown_to_no_transform(table):
    seen = {}

    class Sees:
        uses_masks = True

        def __call__(self, image, masks, labels, *, epoch, index):
            seen[index] = masks
            return image, masks, labels

    known = np.array([True, True, True, False])
    request = MaskRequest(whole=True, known=known)
    batch = StripDataset(table, [1, 3], SIZE, Sees(), masks=request).__getitems__([0, 1])
    assert batch["has_masks"].tolist() == [True, False]
    assert seen[3] is None
    assert batch["masks"].shape == (2, 4, *SIZE)
    assert batch["masks"][1].sum() == 0
    np.testing.assert_array_equal(batch["masks"][0], table.masks[1])
    # Without a request samples hold no masks, and the transform still gets them.
    batch = StripDataset(table, [3], SIZE, Sees(), MaskRequest(known=~known)).__getitems__([0])
    assert set(batch) == {"image", "labels", "image_id"}
    np.testing.assert_array_equal(seen[3], table.masks[3])


def test_masks_that_a_batch_transform_loses_are_unknown(table):
    def lose(strips, *, epoch, indices):
        return [(image, None, labels) for image, _, labels in strips]

    request = MaskRequest(whole=True)
    dataset = StripDataset(table, [1], SIZE, masks=request, batch_transform=lose)
    batch = dataset.__getitems__([0])
    assert not batch["has_masks"].any()
    assert batch["masks"].sum() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_read_at_once_holds_the_same_samples(table, channels):
    dataset = StripDataset(table, [3, 1, 0], SIZE, channels=channels)
    batch = dataset.__getitems__([2, 0])
    for place, position in enumerate([2, 0]):
        sample = dataset[position]
        assert torch.equal(batch["image"][place], sample["image"])
        assert torch.equal(batch["labels"][place], sample["labels"])
        assert batch["image_id"][place] == sample["image_id"]
