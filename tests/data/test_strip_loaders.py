import multiprocessing
import subprocess

import numpy as np
import pytest
import torch
from strip_folders import SIZE, kaggle_folder, strip_ids

from core.data.annotations import read_label_table
from core.data.dataset import MaskRequest, StripDataset
from core.data.loaders import make_loader
from core.data.sampling import EpochSampler
from core.errors import InputError

NUM_IMAGES = 11


def shifted(image, masks, labels, *, epoch, index):
    """A transform that depends on all that it is told, as augmentation does."""
    generator = np.random.default_rng((epoch, index))
    return np.roll(image, int(generator.integers(1, 60)), axis=1), masks, labels


@pytest.fixture
def dataset(tmp_path):
    kaggle_folder(tmp_path, [f"{strip_ids(3)[2]},1,1 9"], num_images=NUM_IMAGES)
    table = read_label_table(tmp_path, image_size=SIZE)
    return StripDataset(
        table, range(NUM_IMAGES), SIZE, transform=shifted, masks=MaskRequest(whole=True)
    )


def epochs(loader, numbers):
    for number in numbers:
        loader.set_epoch(number)
        yield list(loader)


def test_two_workers_give_what_none_gives(dataset):
    plain = make_loader(dataset, 4, seed=3, shuffle=True, num_workers=0)
    working = make_loader(dataset, 4, seed=3, shuffle=True, num_workers=2)
    ids_by_epoch, images_by_epoch = [], []
    # The data set and its epoch are shared: one loader after the other.
    expected = list(epochs(plain, (1, 2, 2)))
    for ours, theirs in zip(expected, epochs(working, (1, 2, 2)), strict=True):
        assert [batch["image_id"] for batch in ours] == [batch["image_id"] for batch in theirs]
        for one, two in zip(ours, theirs, strict=True):
            for key in ("image", "labels", "masks"):
                assert torch.equal(one[key], two[key])
        ids_by_epoch.append([image_id for batch in ours for image_id in batch["image_id"]])
        images = torch.cat([batch["image"] for batch in ours])
        images_by_epoch.append(images[np.argsort(ids_by_epoch[-1])])
    assert ids_by_epoch[0] != ids_by_epoch[1] == ids_by_epoch[2]
    assert not torch.equal(images_by_epoch[0], images_by_epoch[1])
    assert torch.equal(images_by_epoch[1], images_by_epoch[2])


def test_batches_hold_uint8_images_float_labels_and_ids(dataset):
    batches = list(make_loader(dataset, 4, seed=0, shuffle=False))
    assert [len(batch["image_id"]) for batch in batches] == [4, 4, 3]
    batch = batches[0]
    assert batch["image"].dtype == batch["masks"].dtype == torch.uint8
    assert batch["image"].shape == (4, 1, *SIZE)
    assert batch["masks"].shape == (4, 4, *SIZE)
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"][2].tolist() == [1, 0, 0, 0]
    assert [name for batch in batches for name in batch["image_id"]] == strip_ids(NUM_IMAGES)


@pytest.mark.parametrize(
    ("batch_size", "shuffle", "sizes"),
    [
        (5, True, [5, 5]),
        (5, False, [5, 5, 1]),
        (4, True, [4, 4, 3]),
        (1, True, [1] * NUM_IMAGES),
        (NUM_IMAGES, True, [NUM_IMAGES]),
        (20, True, [NUM_IMAGES]),
    ],
)
def test_only_a_last_training_batch_of_one_image_is_dropped(dataset, batch_size, shuffle, sizes):
    loader = make_loader(dataset, batch_size, seed=0, shuffle=shuffle)
    assert [len(batch["image_id"]) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_a_single_training_image_is_not_dropped(dataset):
    alone = StripDataset(dataset.table, [0], SIZE)
    assert len(list(make_loader(alone, 4, seed=0, shuffle=True))) == 1


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(50, seed, shuffle=True)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    first = order(0, 1)
    torch.manual_seed(2)
    np.random.seed(3)
    assert order(0, 1) == first
    assert sorted(first) == list(range(50))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert list(EpochSampler(4, 0, shuffle=False)) == [0, 1, 2, 3]


def test_reading_leaves_the_global_generators_alone(dataset):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for _ in make_loader(dataset, 4, seed=1, shuffle=True):
        pass
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_arrives_as_the_same_single_line_from_any_process(dataset, num_workers):
    path = dataset.table.image_paths[6]
    path.write_bytes(path.read_bytes()[:-30])
    loader = make_loader(dataset, 4, seed=1, shuffle=True, num_workers=num_workers)
    before = set(multiprocessing.active_children())
    with pytest.raises(InputError) as caught:
        list(loader)
    assert set(multiprocessing.active_children()) <= before, "a worker outlives its pass"
    assert str(caught.value).startswith(f"{path}: truncated, its ")
    assert caught.value.args[0] == str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_epoch_that_is_left_early_does_not_leak_into_the_next(dataset):
    loader = make_loader(dataset, 2, seed=3, shuffle=True, num_workers=1)
    loader.set_epoch(1)
    next(iter(loader))
    (left_early,) = epochs(loader, [2])
    (straight,) = epochs(make_loader(dataset, 2, seed=3, shuffle=True), [2])
    for one, two in zip(left_early, straight, strict=True):
        assert one["image_id"] == two["image_id"]
        assert torch.equal(one["image"], two["image"])


def swapped(strips, *, epoch, indices):
    """A batch transform that shows all that it is told."""
    images = [np.full_like(image, sum(indices) % 199 + epoch) for image, _, _ in strips]
    return [
        (image, masks, np.full_like(labels, 0.5))
        for image, (_, masks, labels) in zip(images, strips, strict=True)
    ]


def test_a_batch_transform_sees_the_batch_alike_in_any_process(dataset):
    mixing = StripDataset(dataset.table, range(10), SIZE, batch_transform=swapped)
    by_workers = []
    for num_workers in (0, 2):
        loader = make_loader(mixing, 4, seed=3, shuffle=True, num_workers=num_workers)
        by_workers.append(next(epochs(loader, [2])))
    for one, two in zip(*by_workers, strict=True):
        assert one["image_id"] == two["image_id"]
        assert torch.equal(one["image"], two["image"])
        numbers = [strip_ids(NUM_IMAGES).index(name) for name in one["image_id"]]
        assert set(one["image"].flatten().tolist()) == {sum(numbers) % 199 + 2}
        assert (one["labels"] == 0.5).all()
    assert StripDataset(dataset.table, [0], SIZE, batch_transform=swapped)[0]["labels"].max() != 0.5


def test_a_worker_outlives_a_signal_that_was_meant_for_the_whole_run(dataset):
    """Schedulers send SIGTERM to every process; the main one still needs its workers to stop."""
    loader = make_loader(dataset, 2, seed=3, shuffle=False, num_workers=1)
    loader.set_epoch(1)
    batches = iter(loader)
    ids = [*next(batches)["image_id"]]
    (worker,) = loader._iterator._workers
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    ids += [image_id for batch in batches for image_id in batch["image_id"]]
    assert sorted(ids) == strip_ids(NUM_IMAGES)
    worker.terminate()
    worker.join(timeout=30)
    assert worker.exitcode == 0


@pytest.mark.parametrize("weights", [None, np.full(NUM_IMAGES, 1 / NUM_IMAGES)])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_pass_can_begin_at_any_batch(dataset, num_workers, weights):
    loader = make_loader(dataset, 4, seed=3, shuffle=True, num_workers=num_workers, weights=weights)
    (whole,) = epochs(loader, [5])
    for start in range(4):
        loader.set_epoch(5, start)
        assert len(loader) == 3 - start
        for one, two in zip(whole[start:], loader, strict=True):
            assert one["image_id"] == two["image_id"]
            assert torch.equal(one["image"], two["image"])
    (again,) = epochs(loader, [5])
    assert len(again) == 3


def test_a_single_last_image_is_dropped_wherever_a_pass_begins(dataset):
    loader = make_loader(dataset, 5, seed=3, shuffle=True)
    for start in range(3):
        loader.set_epoch(1, start)
        assert len(list(loader)) == len(loader) == 2 - start
