import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from duplicate_examples import COPIES, describe, encoded, joined, relief_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strip_folders import strip_ids, write_strips

from core.data import duplicate_groups as grouping
from core.data import duplicates
from core.data.duplicate_groups import duplicate_groups, relief_correlations
from core.data.duplicates import find_duplicate_pairs, write_duplicates
from core.data.images import ImageFormat, read_image
from core.data.label_table import LabelTable
from core.data.strip_hash import (
    StripDescriptors,
    least_correlation,
    relief_hash,
    strip_descriptors,
)
from core.errors import InputError
from core.files.resizing import Resize
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_synthetic_strips_are_found_and_nothing_else(synthetic_strips, kind):
    right, wrong = found(synthetic_strips, kind)
    assert right >= 38
    assert wrong == 0


def test_real_and_synthetic_strips_are_told_apart_with_room_to_spare(real_strips, synthetic_strips):
    descriptors = joined(real_strips[1], synthetic_strips[1])
    assert find_duplicate_pairs(descriptors) == []
    # Hashes are not within the 76 bits at which a correlation of 0.6 would do.
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


@pytest.mark.parametrize("sizes", [[SMALL] * 3, [(64, 320), (80, 60), (40, 330)]])
def test_descriptors_do_not_depend_on_a_resize(tmp_path, sizes):
    """Bars that a letterbox adds would be alike in all images of one shape."""
    for name, size in zip(strip_ids(3), sizes, strict=True):
        write_strips(tmp_path, [name], size)
    paths = sorted(tmp_path.iterdir())
    rules = [Resize((32, 400), "letterbox"), Resize((96, 80)), Resize(SMALL)]
    formats = [ImageFormat(rule) for rule in rules]
    if len(set(sizes)) == 1:
        formats.append(ImageFormat(SMALL))
    first, *others = (strip_descriptors(paths, image_format) for image_format in formats)
    assert first.reliefs.shape[1:] == (32, 160)
    for other in others:
        for field in ("hashes", "reliefs", "steel"):
            np.testing.assert_array_equal(getattr(other, field), getattr(first, field))


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
    one, other = (relief_hash(relief_of(turned)[0]) for turned in (image, image[::down, ::across]))
    # Rounding may turn a sign of a coefficient near 0.
    assert differing_bits(one, other) <= 3


@pytest.mark.slow
def test_pairs_over_many_blocks_are_those_of_a_plain_loop():
    generator = np.random.default_rng(1)
    hashes = generator.integers(0, 2**64, (700, 4), np.uint64)
    relief = generator.integers(-99, 99, (32, 200), dtype=np.int8)
    turned = hashes[3] ^ np.array([0, 2**64 - 1, 2**64 - 1, 0], np.uint64)
    hashes[[300, 650]] = hashes[5], turned
    # 90 differing bits are near, 91 are not.
    hashes[400] = hashes[9] ^ np.array([2**64 - 1, 2**26 - 1, 0, 0], np.uint64)
    hashes[500] = hashes[11] ^ np.array([2**64 - 1, 0, 2**27 - 1, 0], np.uint64)
    same = StripDescriptors(hashes, np.repeat(relief[None], 700, 0), np.ones(700, np.float32))
    near = [pair for pair in pairs_of(range(700)) if differing_bits(*hashes[list(pair)]) <= 90]
    assert {(5, 300), (3, 650), (9, 400)} <= set(near)
    assert (11, 500) not in near
    assert find_duplicate_pairs(same) == near


def one_background(count: int, seed: int = 0) -> StripDescriptors:
    """Strips of one fixed camera: the same but for a few changed values."""
    generator = np.random.default_rng(seed)
    reliefs = np.repeat(generator.integers(-99, 99, (1, 32, 200), dtype=np.int8), count, 0)
    reliefs[:, 5:9, 20:60] = generator.integers(-99, 99, (count, 4, 40), dtype=np.int8)
    return StripDescriptors.of((relief, 1.0) for relief in reliefs)


@pytest.mark.slow
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


def test_a_far_hash_needs_a_better_relief():
    generator = np.random.default_rng(4)
    relief = generator.integers(-60, 60, (32, 200)).astype(np.int8)
    noise = generator.normal(0, 42, relief.shape)
    other = np.clip(relief + noise, -127, 127).astype(np.int8)  # they correlate by 0.64
    hashes = np.zeros((2, 4), np.uint64)
    for differing, is_pair in ((76, True), (77, False), (90, False)):
        hashes[1] = np.array([2**64 - 1, 2 ** (differing - 64) - 1, 0, 0], np.uint64)
        strips = StripDescriptors(hashes, np.stack([relief, other]), np.ones(2, np.float32))
        assert (find_duplicate_pairs(strips) == [(0, 1)]) == is_pair
        alike = StripDescriptors(hashes, np.stack([relief, relief]), np.ones(2, np.float32))
        assert find_duplicate_pairs(alike) == [(0, 1)]


def blends(shares: list[float], seed: int = 0) -> StripDescriptors:
    """Strips that are a share of one relief and the rest of another, with hashes all alike."""
    one, other = np.random.default_rng(seed).normal(0, 40, (2, 32, 200))
    reliefs = [share * one + (1 - share**2) ** 0.5 * other for share in shares]
    reliefs = np.clip(reliefs, -127, 127).round().astype(np.int8)
    hashes = np.zeros((len(shares), 4), np.uint64)
    return StripDescriptors(hashes, reliefs, np.ones(len(shares), np.float32))


def test_a_strip_between_two_groups_does_not_join_them():
    """Each end agrees with the middle by 0.71, and the ends with each other by 0."""
    chain = [1.0, 0.99, 0.98, 0.71, 0.1, 0.05, 0.0]
    groups = duplicate_groups(7, find_duplicate_pairs(blends(chain)))
    assert groups[0] == groups[1] == groups[2]
    assert groups[4] == groups[5] == groups[6]
    assert groups[0] != groups[4]


def test_two_strips_alone_are_a_pair_at_the_least_correlation():
    assert find_duplicate_pairs(blends([1.0, 0.71])) == [(0, 1)]


def test_all_copies_of_a_strip_are_one_group(real_strips):
    """However they were copied: the light is another, or the strip lies in another way."""
    images = real_strips[0][::10]
    copies = describe(copy(image) for image in images for copy in COPIES.values())
    strips = joined(describe(images), copies)
    groups = duplicate_groups(len(strips), find_duplicate_pairs(strips))
    own = np.concatenate([np.arange(len(images)), np.arange(len(images)).repeat(len(COPIES))])
    together = groups[:, None] == groups[None]
    assert not (together & (own[:, None] != own)).any()
    # 99 % and more of the pairs were together.
    assert together[own[:, None] == own].mean() > 0.95


@pytest.mark.slow
@given(st.integers(3, 25), st.integers(1, 4), st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_groups_refine_the_chains_and_their_pairs_connect_them(count, sources, seed):
    generator = np.random.default_rng(seed)
    pure = generator.normal(0, 40, (sources, 32, 60))
    mixed = generator.dirichlet(np.full(sources, 0.3), count)
    reliefs = np.einsum("ns,shw->nhw", mixed / np.linalg.norm(mixed, axis=1)[:, None], pure)
    reliefs = np.clip(reliefs, -127, 127).round().astype(np.int8)
    hashes = np.zeros((count, 4), np.uint64)
    strips = StripDescriptors(hashes, reliefs, np.ones(count, np.float32))
    pairs = find_duplicate_pairs(strips)
    assert pairs == sorted(set(pairs))
    correlations = relief_correlations(strips, np.arange(count))
    chains = duplicate_groups(count, np.argwhere(np.triu(correlations >= 0.6, 1)))
    groups = duplicate_groups(count, pairs)
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        assert len(set(chains[members])) == 1
        if len(members) > 2:
            own = correlations[np.ix_(members, members)][np.triu_indices(len(members), 1)]
            assert own.mean() >= 0.7
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grouping, "LARGEST_LISTED_GROUP", 2)
        few = find_duplicate_pairs(strips)
        np.testing.assert_array_equal(duplicate_groups(count, few), groups)
        assert len(few) == count - len(set(groups))
        patched.setattr(grouping, "_LARGEST_CONFIRMED_GROUP", 2)
        np.testing.assert_array_equal(duplicate_groups(count, find_duplicate_pairs(strips)), chains)


def test_correlations_are_those_of_the_search(real_strips):
    strips = joined(describe(real_strips[0][:3]), describe(i[::-1] for i in real_strips[0][:3]))
    found = relief_correlations(strips, np.arange(6))
    for one, other in pairs_of(range(6)):
        reliefs = strips.reliefs[[one, other]].astype(np.float32)
        inner = np.ascontiguousarray(reliefs[0, 1:-1, 1:-1])
        expected = max(
            cv2.matchTemplate(
                np.ascontiguousarray(reliefs[1, ::down, ::across]), inner, cv2.TM_CCOEFF_NORMED
            ).max()
            for down in (1, -1)
            for across in (1, -1)
        )
        if expected >= least_correlation(strips.steel[[one, other]].min()):
            assert found[one, other] >= expected - 1e-4
        else:
            assert found[one, other] < 0.7


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
