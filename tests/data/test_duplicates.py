import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from duplicate_examples import COPIES, describe, encoded, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from strip_folders import strip_ids, write_strips

from core.data import duplicates
from core.data.duplicates import (
    duplicate_groups,
    find_duplicate_pairs,
    strip_descriptors,
    write_duplicates,
)
from core.data.images import ImageFormat, read_image
from core.data.label_table import LabelTable
from core.data.strip_hash import StripDescriptors, relief_hash, strip_relief
from core.errors import InputError
from core.synthetic.generator import StripSettings, generate_strips

SIZE = (256, 1600)
SMALL = (64, 320)


@pytest.fixture(scope="session")
def real_strips(severstal_sample) -> tuple[list[np.ndarray], StripDescriptors]:
    paths = sorted((severstal_sample / "train_images").glob("*.jpg"))
    return [read_image(path, SIZE) for path in paths], strip_descriptors(paths, ImageFormat(SIZE))


@pytest.fixture(scope="session")
def synthetic_strips(tmp_path_factory) -> tuple[list[np.ndarray], StripDescriptors]:
    root = generate_strips(tmp_path_factory.mktemp("strips") / "set", StripSettings(40, seed=5))
    paths = sorted((root / "train_images").glob("*.jpg"))
    return [read_image(path, SIZE) for path in paths], strip_descriptors(paths, ImageFormat(SIZE))


def found(strips: tuple[list[np.ndarray], StripDescriptors], kind: str) -> tuple[int, int]:
    """How many strips are paired with their copy, and how many wrong pairs there are."""
    images, descriptors = strips
    pairs = set(
        find_duplicate_pairs(joined(descriptors, describe(COPIES[kind](i) for i in images)))
    )
    right = {(index, index + len(images)) for index in range(len(images))}
    return len(pairs & right), len(pairs - right)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_real_strips_are_found_and_nothing_else(real_strips, kind):
    # All 100 were found of every kind, with no wrong pair among 19,800.
    right, wrong = found(real_strips, kind)
    assert right >= 97
    assert wrong == 0


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_synthetic_strips_are_found_and_nothing_else(synthetic_strips, kind):
    right, wrong = found(synthetic_strips, kind)
    assert right >= 38
    assert wrong == 0


def test_real_and_synthetic_strips_are_told_apart_with_room_to_spare(real_strips, synthetic_strips):
    descriptors = joined(real_strips[1], synthetic_strips[1])
    assert find_duplicate_pairs(descriptors) == []
    # Hashes are nowhere near the 76 bits at which a pair is looked at closer.
    assert min(itertools.starmap(differing_bits, pairs_of(descriptors.hashes))) >= 82


def test_known_pairs_of_the_sample_are_found(severstal_sample, shared_file):
    lines = shared_file("data/severstal_duplicate_pairs.txt").read_text().split()
    folder = severstal_sample / "train_images"
    known = [
        [folder / image_id for image_id in pair]
        for pair in zip(lines[::2], lines[1::2], strict=True)
    ]
    known = [pair for pair in known if all(path.is_file() for path in pair)]
    if not known:
        pytest.skip("the sample holds no known pair with both of its strips")
    for pair in known:
        assert find_duplicate_pairs(strip_descriptors(pair, ImageFormat(SIZE))) == [(0, 1)]


def test_small_strips_and_their_copies(tmp_path):
    root = generate_strips(tmp_path / "set", StripSettings(40, SMALL, seed=6))
    images = [read_image(path, SMALL) for path in sorted((root / "train_images").glob("*.jpg"))]
    descriptors = describe([*images, *(encoded(image[::-1, ::-1], 90) for image in images)])
    pairs = set(find_duplicate_pairs(descriptors))
    right = {(index, index + 40) for index in range(40)}
    assert len(pairs & right) >= 38
    assert pairs <= right


def test_what_lies_behind_the_steel_is_no_likeness(real_strips):
    """Two strips whose right part is the same machine, as the camera sees it beside the coil."""
    generator = np.random.default_rng(3)
    machine = cv2.GaussianBlur(generator.normal(0, 1, SIZE), (0, 0), 12)
    machine = np.clip(2 + 3 * machine / machine.std(), 0, 8).astype(np.uint8)
    lit = [i for i in real_strips[0] if i.mean(axis=0).min() > 25 and np.percentile(i, 95) > 100]
    assert len(lit) > 20
    for width in (160, 400, 800):
        strips = []
        for image in lit:
            strip = machine.copy()
            strip[:, :width] = image[:, 400 : 400 + width]
            strips.append(encoded(strip, 90))
        assert find_duplicate_pairs(describe(strips)) == []


def test_flat_strips_are_in_no_pair():
    flat = [np.full(SIZE, grey, np.uint8) for grey in (0, 0, 128, 255)]
    assert find_duplicate_pairs(describe(flat)) == []
    assert find_duplicate_pairs(describe(flat[:1])) == []


def test_a_file_copied_is_found_among_others(tmp_path):
    write_strips(tmp_path, strip_ids(12), SMALL)
    paths = [tmp_path / image_id for image_id in [*strip_ids(12), strip_ids(12)[7]]]
    assert find_duplicate_pairs(strip_descriptors(paths, ImageFormat(SMALL))) == [(7, 12)]


def test_an_unreadable_strip_is_named(tmp_path):
    write_strips(tmp_path, strip_ids(30), SMALL)
    (tmp_path / strip_ids(30)[4]).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"strip_004\.jpg"):
        strip_descriptors([tmp_path / image_id for image_id in strip_ids(30)], ImageFormat(SMALL))


def pairs_of(items: np.ndarray) -> itertools.combinations:
    return itertools.combinations(items, 2)


def differing_bits(one: np.ndarray, other: np.ndarray) -> int:
    """Bits that differ in the best of the four ways, word by word."""
    ways = [(0, 0, 0, 0), (0, 1, 0, 1), (0, 0, 1, 1), (0, 1, 1, 0)]
    counts = [int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    return min(
        sum(64 - count if turned else count for count, turned in zip(counts, way, strict=True))
        for way in ways
    )


@pytest.mark.parametrize(("down", "across"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_a_turned_relief_has_the_hash_of_its_way(down, across):
    image = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 9)
    one, other = (
        relief_hash(strip_relief(np.ascontiguousarray(i))[0])
        for i in (image, image[::down, ::across])
    )
    # Rounding may turn a sign of a coefficient near 0.
    assert differing_bits(one, other) <= 3


@pytest.mark.slow
def test_pairs_over_many_blocks_are_those_of_a_plain_loop():
    generator = np.random.default_rng(1)
    hashes = generator.integers(0, 2**64, (700, 4), np.uint64)
    relief = generator.integers(-99, 99, (32, 200), dtype=np.int8)
    turned = hashes[3] ^ np.array([0, 2**64 - 1, 2**64 - 1, 0], np.uint64)
    hashes[[300, 650]] = hashes[5], turned
    # 76 differing bits are near, 77 are not.
    hashes[400] = hashes[9] ^ np.array([2**64 - 1, 2**12 - 1, 0, 0], np.uint64)
    hashes[500] = hashes[9] ^ np.array([2**64 - 1, 0, 2**13 - 1, 0], np.uint64)
    same = StripDescriptors(hashes, np.repeat(relief[None], 700, 0), np.ones(700, np.float32))
    near = [pair for pair in pairs_of(range(700)) if differing_bits(*hashes[list(pair)]) <= 76]
    assert {(5, 300), (3, 650), (9, 400)} <= set(near)
    assert (9, 500) not in near
    assert find_duplicate_pairs(same) == near


def one_background(count: int, seed: int = 0) -> StripDescriptors:
    """Strips of one fixed camera: the same but for a few changed values."""
    generator = np.random.default_rng(seed)
    reliefs = np.repeat(generator.integers(-99, 99, (1, 32, 200), dtype=np.int8), count, 0)
    reliefs[:, 5:9, 20:60] = generator.integers(-99, 99, (count, 4, 40), dtype=np.int8)
    return StripDescriptors.of((relief, 1.0) for relief in reliefs)


def test_one_background_needs_about_one_look_at_each_strip(monkeypatch):
    looks = []
    same_relief = duplicates._same_relief
    monkeypatch.setattr(
        duplicates, "_same_relief", lambda *pair: looks.append(pair) or same_relief(*pair)
    )
    pairs = find_duplicate_pairs(one_background(400))
    assert len(pairs) == 399
    assert len(looks) <= 2 * 400
    assert not duplicate_groups(400, pairs).any()


def test_all_pairs_of_a_small_group_are_listed():
    assert find_duplicate_pairs(one_background(30)) == list(pairs_of(range(30)))


@given(st.integers(2, 25), st.floats(0, 0.3), st.integers(0, 5), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_groups_are_those_of_all_pairs(count, density, largest_listed, seed):
    """Whatever the relations between strips, of which none has to be transitive."""
    generator = np.random.default_rng(seed)
    alike = generator.random((count, count)) < density
    everything = [pair for pair in pairs_of(range(count)) if alike[pair]]
    hashes, reliefs = np.zeros((count, 4), np.uint64), np.ones((count, 32, 200), np.int8)
    descriptors = StripDescriptors(hashes, reliefs, np.ones(count, np.float32))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(duplicates, "_same_relief", lambda _, *pair: alike[pair])
        assert find_duplicate_pairs(descriptors) == everything
        patched.setattr(duplicates, "_LARGEST_LISTED_GROUP", largest_listed)
        found = find_duplicate_pairs(descriptors)
    assert set(found) <= set(everything)
    groups = duplicate_groups(count, everything)
    np.testing.assert_array_equal(duplicate_groups(count, found), groups)
    # The group of a pair that is not listed is larger than those whose pairs all are.
    sizes = np.bincount(groups)
    assert all(sizes[groups[first]] > largest_listed for first, _ in set(everything) - set(found))


@given(
    st.integers(1, 30).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40),
        )
    )
)
@settings(deadline=None, max_examples=100)
def test_groups_are_the_connected_components(case):
    count, pairs = case
    reachable = np.eye(count, dtype=bool)
    for first, second in pairs:
        reachable[first, second] = reachable[second, first] = True
    for _ in range(count):
        reachable = reachable @ reachable
    groups = duplicate_groups(count, pairs)
    np.testing.assert_array_equal(groups[:, None] == groups[None], reachable)
    firsts = np.unique(groups, return_index=True)[1]
    assert groups.min() == 0
    assert (np.diff(firsts) > 0).all()


def test_the_list_of_pairs_names_parts_and_labels(tmp_path: Path):
    labels = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.uint8)
    table = LabelTable((), ("a.jpg", "b.jpg", "c.jpg", "d.jpg"), labels, ("pit", "crack"), None, "")
    split = {"train": np.array([0, 2]), "validation": np.array([1]), "test": np.array([3])}
    path = tmp_path / "duplicates.csv"
    write_duplicates(path, table, [(0, 2), (1, 3)], split)
    assert path.read_bytes() == (
        b"first,second,first_split,second_split,first_labels,second_labels\n"
        b"a.jpg,c.jpg,train,train,,pit+crack\n"
        b"b.jpg,d.jpg,validation,test,pit,crack\n"
    )
    write_duplicates(path, table, [], split)
    assert path.read_text().count("\n") == 1
