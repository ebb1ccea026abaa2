"""Processes that share a batch hold, between them, what one process holds alone."""

import numpy as np
import pytest
import torch
from strip_folders import SIZE, kaggle_folder, strip_ids

from core.augmentation.pipelines import AugmentationPipeline
from core.data.annotations import read_label_table
from core.data.dataset import MaskRequest, StripDataset
from core.data.label_table import LabelTable
from core.data.loaders import make_loader
from core.data.sampling import BatchShard

NUM_IMAGES = 11


@pytest.mark.parametrize(("num_images", "size"), [(8, 2), (7, 2), (3, 3), (8, 3), (2, 1)])
def test_parts_in_their_order_are_the_batch(num_images, size):
    batch = list(range(num_images))
    shards = [BatchShard(rank, size) for rank in range(size)]
    parts = [batch[shard.images(num_images)] for shard in shards]
    assert [image for part in parts for image in part] == batch
    assert {tuple(shard.sizes(num_images)) for shard in shards} == {tuple(map(len, parts))}
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fewer_images_than_processes_are_read_by_all():
    for rank in range(3):
        assert BatchShard(rank, 3).sizes(2) is None
        assert list(range(2))[BatchShard(rank, 3).images(2)] == [0, 1]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> LabelTable:
    root = tmp_path_factory.mktemp("strips")
    rows = [f"{name},{number % 4 + 1},1 9" for number, name in enumerate(strip_ids(NUM_IMAGES))]
    kaggle_folder(root, rows, num_images=NUM_IMAGES)
    return read_label_table(root, image_size=SIZE)


MIXED = {"cutmix": {"probability": 1.0}}


@pytest.mark.parametrize("changed", ["plain", "augmented", "mixed", "masks"])
@pytest.mark.parametrize("size", [2, 3])
def test_a_shared_epoch_is_the_epoch(changed, size, table):
    def batches(shard: BatchShard | None) -> list[dict]:
        settings = MIXED if changed == "mixed" else {}
        pipeline = AugmentationPipeline(settings, seed=5) if changed != "plain" else None
        dataset = StripDataset(
            table,
            range(NUM_IMAGES),
            SIZE,
            transform=pipeline,
            batch_transform=pipeline.batch_transform if pipeline else None,
            masks=MaskRequest(whole=changed == "masks"),
            shard=shard,
        )
        loader = make_loader(dataset, 4, seed=3, shuffle=True, weights=weights())
        loader.set_epoch(2)
        return list(loader)

    alone = batches(None)
    together = [batches(BatchShard(rank, size)) for rank in range(size)]
    names = ["image", "labels", *(["masks", "has_masks"] if changed == "masks" else [])]
    for whole, *parts in zip(alone, *together, strict=True):
        assert all(part["image_id"] == whole["image_id"] for part in parts)
        for name in names:
            assert torch.equal(torch.cat([part[name] for part in parts]), whole[name])
        assert all(part["shard_sizes"] == [len(p["labels"]) for p in parts] for part in parts)


def weights() -> np.ndarray:
    """Some images come several times in an epoch, each time transformed in another way."""
    drawn = np.arange(1, NUM_IMAGES + 1, dtype=float) ** 2
    return drawn / drawn.sum()
