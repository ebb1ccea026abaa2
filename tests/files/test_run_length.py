import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from core.errors import InputError
from core.files.run_length import decode, encode, runs


def decode_by_loops(code: str, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    numbers = [int(token) for token in code.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start - 1, start - 1 + length):
            mask[pixel % height, pixel // height] = 1
    return mask


def encode_by_loops(mask: np.ndarray) -> str:
    height, width = mask.shape
    found: list[list[int]] = []
    inside = False
    for column in range(width):
        for row in range(height):
            if mask[row, column]:
                if not inside:
                    found.append([column * height + row + 1, 0])
                found[-1][1] += 1
            inside = bool(mask[row, column])
    return " ".join(f"{start} {length}" for start, length in found)


MASKS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.just(0) | st.just(1)
)


@pytest.mark.slow
@given(MASKS)
@settings(deadline=None, max_examples=200)
def test_encode_and_decode_equal_plain_loops_and_each_other(mask):
    code = encode(mask)
    assert code == encode_by_loops(mask)
    np.testing.assert_array_equal(decode_by_loops(code, *mask.shape), mask)
    decoded = decode(code, *mask.shape)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, mask)


def test_the_code_is_one_based_and_runs_down_the_columns():
    np.testing.assert_array_equal(decode("1 1", 2, 3), [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(decode("2 2", 2, 3), [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(decode("6 1", 2, 3), [[0, 0, 0], [0, 0, 1]])


def test_values_other_than_zero_belong_to_the_mask():
    assert encode(np.array([[0, 255], [7, 0]], np.uint8)) == "2 2"


def test_the_empty_code_is_the_empty_mask():
    assert encode(np.zeros((3, 4), np.uint8)) == ""
    assert not decode(" ", 3, 4).any()
    assert decode("1 12", 3, 4).all()


def test_runs_that_touch_are_accepted():
    np.testing.assert_array_equal(decode("1 2 3 2", 4, 4), decode("1 4", 4, 4))


def test_starts_are_zero_based():
    starts, lengths = runs(" 5 2  9 1 ", 4, 4)
    assert starts.tolist() == [4, 8]
    assert lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1 2 3", "3 numbers"),
        ("1 x", "'x' is not a whole number"),
        ("1 2.5", "'2.5' is not a whole number"),
        ("1 -2", "'-2' is not a whole number"),
        ("1,2", "'1,2' is not a whole number"),
        ("1\t2", "not a whole number"),
        ("\u0661 2", "not a whole number"),
        ("0 2", "start 0 of run 1"),
        ("1 0", "length 0 of run 1"),
        ("5 1 7 0", "length 0 of run 2"),
        ("15 3", "ends at pixel 17; expected at most 16"),
        ("17 1", "overlong run-length code: start 17 of run 1"),
        ("1 99999999999999999999999", "overlong run-length code: length"),
        ("3 4 5 1", "run 2 starts at 5, but run 1 ('3 4') ends at 6"),
        ("9 2 1 2", "run 2 starts at 1, but run 1 ('9 2') ends at 10"),
        ("3 1 3 1", "run 2 starts at 3"),
    ],
)
def test_bad_codes_are_refused_by_value(code, expected):
    with pytest.raises(InputError) as caught:
        decode(code, 4, 4)
    assert expected in str(caught.value)
    assert "expected" in str(caught.value)


@given(st.text(alphabet="0123456789 -x.", max_size=12))
@settings(deadline=None, max_examples=300)
def test_any_text_is_decoded_or_refused(code):
    try:
        mask = decode(code, 5, 6)
    except InputError:
        return
    np.testing.assert_array_equal(mask, decode_by_loops(code, 5, 6))


def test_a_mask_of_another_rank_is_a_programming_error():
    with pytest.raises(ValueError, match="height, width"):
        encode(np.zeros((1, 2, 3), np.uint8))
