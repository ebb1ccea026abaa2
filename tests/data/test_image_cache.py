"""Decoded images that are kept: never another pixel, never half of them taken for whole."""

import multiprocessing
import os
import pickle
import shutil
import time

import numpy as np
import pytest
import torch
from strip_folders import SIZE, kaggle_folder, strip_ids, write_strips

from core.data import image_cache
from core.data.annotations import read_label_table
from core.data.dataset import StripDataset
from core.data.duplicates import kept_descriptors
from core.data.image_cache import open_images
from core.data.image_source import ImageFiles
from core.data.images import read_image
from core.data.loaders import make_loader
from core.data.settings import DataSettings
from core.errors import InputError
from core.files.locks import acquire

NUM_IMAGES = 70  # more than are decoded ahead


@pytest.fixture
def root(tmp_path):
    return kaggle_folder(tmp_path / "strips", [f"{strip_ids(1)[0]},1,1 9"], NUM_IMAGES)


@pytest.fixture
def paths(root):
    return read_label_table(root, image_size=SIZE).image_paths


# Names are resolved at each call, so that a test may put something else in their place.
def settings(root, cache, **more):
    return DataSettings.model_construct(
        root=root, cache=cache, image_size=SIZE, cache_dir=None, **{"channels": 1, **more}
    )


def folders(root):
    return sorted(entry.name for entry in root.with_name("strips_cache").iterdir())


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_source_gives_the_pixels_of_the_file(root, paths, cache, channels):
    source = open_images(paths, settings(root, cache, channels=channels))
    files = ImageFiles(paths, SIZE, channels)
    for index in (0, 65, NUM_IMAGES - 1):
        for writable in (True, False):
            image = source.read(index, writable)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, files.read(index))


def mirrored(image, masks, labels, *, epoch, index):
    image[:] = image[:, ::-1] + epoch  # in place, as a careless transform may
    return image, masks, labels


def test_neither_cache_nor_workers_change_a_single_image(root, paths):
    table = read_label_table(root, image_size=SIZE)
    seen = []
    for cache in ("none", "memory", "disk"):
        images = open_images(paths, settings(root, cache))
        for workers in (0, 2):
            for transform in (None, mirrored):
                dataset = StripDataset(table, range(20), SIZE, transform, images=images)
                loader = make_loader(dataset, 6, seed=1, shuffle=True, num_workers=workers)
                batches = []
                for epoch in (1, 2):
                    loader.set_epoch(epoch)
                    batches += [batch["image"] for batch in loader]
                seen.append((transform, torch.cat(batches)))
    for transform in (None, mirrored):
        first, *others = [images for kind, images in seen if kind is transform]
        assert all(torch.equal(first, other) for other in others)


def test_the_second_opening_decodes_nothing(root, paths, monkeypatch):
    open_images(paths, settings(root, "disk"))
    monkeypatch.setattr(image_cache, "read_image", None)
    again = open_images(paths, settings(root, "disk"))
    np.testing.assert_array_equal(again.read(3), read_image(paths[3], SIZE))


@pytest.mark.parametrize("change", ["pixels", "time", "more", "decoder", "channels"])
def test_a_change_is_noticed(root, paths, monkeypatch, change):
    open_images(paths, settings(root, "disk"))
    before, more = folders(root), {}
    if change == "pixels":
        write_strips(paths[3].parent, ["other.jpg"])
        shutil.copy(paths[4], paths[3])
    elif change == "time":
        os.utime(paths[3], ns=(0, 1))
    elif change == "more":
        write_strips(paths[3].parent, ["zzz.jpg"])
        paths = (*paths, paths[3].with_name("zzz.jpg"))
    elif change == "decoder":
        monkeypatch.setattr("core.data.image_cache.cv2.__version__", "99.0")
    else:
        more = {"channels": 3}
    source = open_images(paths, settings(root, "disk", **more))
    assert len(folders(root)) == len(before) + 1
    expected = ImageFiles(paths, SIZE, more.get("channels", 1)).read(3)
    np.testing.assert_array_equal(source.read(3), expected)


def test_a_data_set_that_was_moved_keeps_its_cache(root, paths, monkeypatch):
    data = settings(root, "disk")
    open_images(paths, data)
    moved = root.rename(root.with_name("moved"))
    monkeypatch.setattr(image_cache, "read_image", None)
    elsewhere = read_label_table(moved, image_size=SIZE).image_paths
    open_images(elsewhere, data.model_copy(update={"cache_dir": data.cache_folder}))


def killed_on_the_way(paths, data):
    count = iter(range(NUM_IMAGES))

    def read(path, **options):
        if next(count) == 66:
            os._exit(9)
        return read_image(path, SIZE)

    image_cache.read_image = read
    open_images(paths, data)


def test_a_killed_build_is_harmless(root, paths):
    data = settings(root, "disk")
    process = multiprocessing.get_context("fork").Process(
        target=killed_on_the_way, args=(paths, data)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 9
    (left,) = folders(root)
    assert left.endswith(".part")
    source = open_images(paths, data)
    np.testing.assert_array_equal(source.read(69), read_image(paths[69], SIZE))
    assert left in folders(root)  # for all that is known, another process still writes to it
    make_older(data.cache_folder / left, 61)
    open_images(paths, data)
    assert left not in folders(root)


def make_older(part, seconds):
    old = time.time() - seconds
    for entry in (*part.iterdir(), part):
        os.utime(entry, (old, old))


def hold(images, locked):
    with images.open("r+b") as stream:
        assert acquire(stream) is True
        locked.set()
        time.sleep(60)


def test_a_build_at_which_a_process_is_stays_however_long_the_disk_takes(root, paths):
    data, context = settings(root, "disk"), multiprocessing.get_context("fork")
    part = data.cache_folder / ".images_1.part"
    part.mkdir(parents=True)
    (part / "images.u8").write_bytes(b"some")
    locked = context.Event()
    process = context.Process(target=hold, args=(part / "images.u8", locked))
    process.start()
    try:
        assert locked.wait(30)
        make_older(part, 7200)
        open_images(paths, data)
        assert part.name in folders(root)
    finally:
        process.kill()
        process.join()
    open_images(paths, data)
    assert part.name not in folders(root)


def test_without_locks_more_time_is_given(root, paths, monkeypatch):
    monkeypatch.setattr("core.data.image_cache.acquire", lambda stream: None)
    data = settings(root, "disk")
    part = data.cache_folder / ".images_1.part"
    part.mkdir(parents=True)
    (part / "images.u8").write_bytes(b"some")
    for seconds, stays in ((600, True), (3700, False)):
        make_older(part, seconds)
        open_images(paths, data)
        assert (part.name in folders(root)) == stays


def test_a_cut_cache_is_built_again(root, paths):
    source = open_images(paths, settings(root, "disk"))
    with source.path.open("rb+") as stream:
        stream.truncate(100)
    again = open_images(paths, settings(root, "disk"))
    np.testing.assert_array_equal(again.read(69), read_image(paths[69], SIZE))
    assert len(folders(root)) == 1


def build(paths, data, barrier):
    original = image_cache.write_json

    def write_once_all_are_there(path, content):
        barrier.wait(60)
        original(path, content)

    image_cache.write_json = write_once_all_are_there
    source = open_images(paths, data)
    os._exit(0 if np.array_equal(source.read(5), read_image(paths[5], SIZE)) else 1)


def test_processes_that_build_at_once_are_harmless(root, paths):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    data = settings(root, "disk")
    processes = [context.Process(target=build, args=(paths, data, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (left,) = folders(root)
    assert not left.startswith(".")


def test_a_worker_that_is_spawned_is_sent_no_pixels(root, paths):
    source = open_images(paths, settings(root, "disk"))
    source.read(0)
    sent = pickle.dumps(source)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).read(1), source.read(1))


def test_no_room_is_said_before_anything_is_decoded(root, paths, monkeypatch):
    monkeypatch.setattr(image_cache, "read_image", None)
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"data\.cache=disk: 70 .* free at .*strips_cache"):
        open_images(paths, settings(root, "disk"))
    monkeypatch.setattr(image_cache, "available_memory_bytes", lambda: 1000)
    with pytest.raises(InputError, match=r"data\.cache=memory: 70 decoded images .* available"):
        open_images(paths, settings(root, "memory"))
    assert folders(root) == []


def test_a_folder_that_cannot_be_written_is_named(root, paths):
    root.with_name("strips_cache").write_text("a file")
    with pytest.raises(InputError, match=r"data\.cache=disk: .*strips_cache cannot be .*cache_dir"):
        open_images(paths, settings(root, "disk"))


def test_an_image_that_cannot_be_read_leaves_nothing(root, paths):
    paths[40].write_bytes(paths[40].read_bytes()[:-20])
    with pytest.raises(InputError, match=f"{paths[40].name}: truncated"):
        open_images(paths, settings(root, "disk"))
    assert folders(root) == []


def test_descriptors_are_computed_once(root, paths, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    first = kept_descriptors(paths, SIZE, kept)
    monkeypatch.setattr("core.data.strip_hash.read_image", None)
    again = kept_descriptors(paths, SIZE, kept)
    for field in ("hashes", "reliefs", "steel"):
        np.testing.assert_array_equal(getattr(again, field), getattr(first, field))
    (file,) = kept.iterdir()
    monkeypatch.undo()
    os.utime(paths[0], ns=(0, 1))
    kept_descriptors(paths, SIZE, kept)
    assert len(list(kept.iterdir())) == 2
    file.write_bytes(file.read_bytes()[:200])
    os.utime(paths[0], ns=(0, 2))
    assert len(kept_descriptors(paths, SIZE, kept)) == NUM_IMAGES


def test_a_broken_descriptor_file_is_replaced(paths, tmp_path):
    kept_descriptors(paths, SIZE, tmp_path / "kept")
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.stat().st_size
    for broken in (b"", b"PK", file.read_bytes()[:200]):
        file.write_bytes(broken)
        assert len(kept_descriptors(paths, SIZE, tmp_path / "kept")) == NUM_IMAGES
        assert file.stat().st_size == whole


def test_descriptors_need_no_folder_that_can_be_written(paths, tmp_path):
    (tmp_path / "kept").write_text("a file")
    assert len(kept_descriptors(paths, SIZE, tmp_path / "kept")) == NUM_IMAGES
