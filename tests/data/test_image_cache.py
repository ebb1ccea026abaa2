"""Decoded images that are kept: never another pixel, never half of them taken for whole."""

import errno
import multiprocessing
import os
import pickle
import shutil
import tempfile
import time
from pathlib import Path

import cv2
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
from core.data.images import ImageFormat, read_image
from core.data.loaders import make_loader
from core.data.settings import DataSettings
from core.errors import InputError
from core.files.locks import acquire
from core.files.resizing import Resize

NUM_IMAGES = 70  # more than are decoded ahead


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    return kaggle_folder(tmp_path / "strips", [f"{strip_ids(1)[0]},1,1 9"], NUM_IMAGES)


@pytest.fixture
def paths(root):
    return read_label_table(root, image_size=SIZE).image_paths


# Names are resolved at each call, so that a test may put something else in their place.
def settings(root, cache, **more):
    return DataSettings.model_construct(
        root=root, cache=cache, image_size=SIZE, **{"channels": 1, "cache_dir": None, **more}
    )


def folders(root):
    return sorted(entry.name for entry in settings(root, "disk").cache_folder.iterdir())


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_source_gives_the_pixels_of_the_file(root, paths, cache, channels):
    source = open_images(paths, settings(root, cache, channels=channels))
    files = ImageFiles(paths, ImageFormat(SIZE, channels))
    for index in (0, 65, NUM_IMAGES - 1):
        for writable in (True, False):
            image = source.read(index, writable)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, files.read(index))


def mirrored(image, masks, labels, *, epoch, index):
    image[:] = image[:, ::-1] + epoch  # in place, as a careless transform may
    return image, masks, labels


@pytest.mark.slow
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


def write_uncompressed(path, seed):
    """Other pixels for each seed, but always of the same size in bytes and modification time."""
    pixels = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, 0))[1].tobytes())
    os.utime(path, ns=(0, 10**18))


@pytest.mark.parametrize("change", ["pixels", "time", "hidden", "more", "decoder", "channels"])
def test_a_change_is_noticed(root, paths, monkeypatch, change):
    write_uncompressed(paths[3], 1)
    open_images(paths, settings(root, "disk"))
    before, more = folders(root), {}
    if change == "pixels":
        write_strips(paths[3].parent, ["other.jpg"])
        shutil.copy(paths[4], paths[3])
    elif change == "hidden":
        write_uncompressed(paths[3], 2)
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
    expected = ImageFiles(paths, ImageFormat(SIZE, more.get("channels", 1))).read(3)
    np.testing.assert_array_equal(source.read(3), expected)


@pytest.mark.parametrize("cache_dir", [None, "shared"])
def test_two_data_sets_share_no_images_and_no_descriptors(root, paths, tmp_path, cache_dir):
    """Not even with the same names, sizes and times, as files without compression may have."""
    folder = None if cache_dir is None else tmp_path / cache_dir
    for place in (root, tmp_path / "another_place" / root.name):
        (place / "train_images").mkdir(parents=True, exist_ok=True)
        files = [place / "train_images" / path.name for path in paths]
        for number, file in enumerate(files):
            write_uncompressed(file, number + 100 * (place == root))
        data = settings(place, "disk", cache_dir=folder)
        np.testing.assert_array_equal(
            open_images(files, data).read(3), ImageFiles(files, ImageFormat(SIZE)).read(3)
        )
        kept_descriptors(files, ImageFormat(SIZE), data.cache_folder)
    kept = [*tmp_path.rglob("descriptors_*.npz")]
    assert len(kept) == 2
    assert len({file.parent for file in kept}) == (2 if cache_dir is None else 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/caches", "/caches"), ("", "/home/mill/.cache"), ("relative", "/home/mill/.cache")],
)
def test_caches_lie_in_the_folder_of_the_user(monkeypatch, given, expected):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", "/home/mill")
    folder = DataSettings(root="/data/severstal").cache_folder
    assert folder.parent == Path(expected) / "steel_defects"
    assert folder.name.startswith("severstal_")
    assert folder != DataSettings(root="/other/severstal").cache_folder
    assert DataSettings(cache_dir="/mine").cache_folder == Path("/mine")


def test_a_user_without_a_home_gets_no_cache_and_no_error(root, paths, monkeypatch, caplog):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert_read_without_cache(root, paths, caplog, "disk")


def killed_on_the_way(paths, data):
    count = iter(range(NUM_IMAGES))

    def read(path, *options):
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
    original = image_cache._publish

    def publish_once_all_are_there(*arguments):
        barrier.wait(60)
        original(*arguments)

    image_cache._publish = publish_once_all_are_there
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


def assert_read_without_cache(root, paths, caplog, cache, *words):
    """The images of the files, and one line that says why nothing is kept."""
    source = open_images(paths, settings(root, cache))
    assert isinstance(source, ImageFiles)
    np.testing.assert_array_equal(source.read(3), read_image(paths[3], SIZE))
    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    assert all(word in line for word in [f"data.cache={cache}", "every epoch", *words]), line


def test_no_room_is_noticed_before_anything_is_decoded(root, paths, monkeypatch, caplog):
    monkeypatch.setattr(image_cache, "read_image", None)
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda folder: usage)
    folder = str(settings(root, "disk").cache_folder)
    assert_read_without_cache(root, paths, caplog, "disk", "70 decoded", "free", folder)
    caplog.clear()
    monkeypatch.setattr(image_cache, "available_memory_bytes", lambda: 1000)
    assert_read_without_cache(root, paths, caplog, "memory", "70 decoded", "available")
    assert folders(root) == []


def read_only(*_, **__):
    raise OSError(errno.EROFS, "Read-only file system")


FULL_OR_LOCKED = {
    "a file in its place": lambda patch, folder: (
        folder.parent.mkdir(parents=True),
        folder.write_text("a file"),
    ),
    "no folder can be made": lambda patch, folder: patch.setattr(Path, "mkdir", read_only),
    "no file can be made": lambda patch, folder: patch.setattr(tempfile, "mkdtemp", read_only),
    "full on the way": lambda patch, folder: patch.setattr(os, "fsync", read_only),
    "cannot be renamed": lambda patch, folder: patch.setattr(Path, "rename", read_only),
}


@pytest.mark.parametrize("why", FULL_OR_LOCKED)
def test_a_cache_that_cannot_be_written_costs_one_line(root, paths, monkeypatch, caplog, why):
    folder = settings(root, "disk").cache_folder
    FULL_OR_LOCKED[why](monkeypatch, folder)
    words = [str(folder), "cannot be written", "data.cache_dir=DIR"]
    assert_read_without_cache(root, paths, caplog, "disk", *words)
    monkeypatch.undo()
    assert not folder.is_dir() or not [*folder.iterdir()]


def test_an_image_that_cannot_be_read_leaves_nothing(root, paths):
    paths[40].write_bytes(paths[40].read_bytes()[:-20])
    with pytest.raises(InputError, match=f"{paths[40].name}: truncated"):
        open_images(paths, settings(root, "disk"))
    assert folders(root) == []


def test_descriptors_are_computed_once(root, paths, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    first = kept_descriptors(paths, ImageFormat(SIZE), kept)
    monkeypatch.setattr("core.data.strip_hash.read_stored", None)
    again = kept_descriptors(paths, ImageFormat(SIZE), kept)
    for field in ("hashes", "reliefs", "steel"):
        np.testing.assert_array_equal(getattr(again, field), getattr(first, field))
    (file,) = kept.iterdir()
    monkeypatch.undo()
    os.utime(paths[0], ns=(0, 1))
    kept_descriptors(paths, ImageFormat(SIZE), kept)
    assert len(list(kept.iterdir())) == 2
    for rule in (Resize((32, 32)), Resize((64, 96), "letterbox")):  # neither is described anew
        kept_descriptors(paths, ImageFormat(rule), kept)
    assert len(list(kept.iterdir())) == 3
    file.write_bytes(file.read_bytes()[:200])
    os.utime(paths[0], ns=(0, 2))
    assert len(kept_descriptors(paths, ImageFormat(SIZE), kept)) == NUM_IMAGES


def test_a_broken_descriptor_file_is_replaced(paths, tmp_path):
    kept_descriptors(paths, ImageFormat(SIZE), tmp_path / "kept")
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.stat().st_size
    for broken in (b"", b"PK", file.read_bytes()[:200]):
        file.write_bytes(broken)
        assert len(kept_descriptors(paths, ImageFormat(SIZE), tmp_path / "kept")) == NUM_IMAGES
        assert file.stat().st_size == whole


@pytest.mark.parametrize("why", ["a file in its place", "no file can be made"])
def test_descriptors_need_no_folder_that_can_be_written(paths, tmp_path, monkeypatch, caplog, why):
    if why == "no file can be made":
        monkeypatch.setattr(tempfile, "mkstemp", read_only)
    else:
        (tmp_path / "kept").write_text("a file")
    assert len(kept_descriptors(paths, ImageFormat(SIZE), tmp_path / "kept")) == NUM_IMAGES
    (record,) = caplog.records
    line = record.getMessage()
    assert str(tmp_path / "kept") in line
    assert "data.cache_dir=DIR" in line
