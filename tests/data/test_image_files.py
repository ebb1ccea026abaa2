import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strip_folders import SIZE

from core.data.image_header import IncompleteHeaderError, NotAnImageError, parse_header
from core.data.images import check_header, read_image
from core.errors import InputError


def picture(size: tuple[int, int] = SIZE) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def jpeg(image: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(".jpg", image, flags)[1].tobytes()


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def colour(channels: int = 3) -> np.ndarray:
    return np.dstack([picture() + 30 * channel for channel in range(channels)])


def encoded(ending: str, image: np.ndarray | None = None, *flags: int) -> bytes:
    """An image in the format of that ending."""
    return cv2.imencode(ending, picture() if image is None else image, flags)[1].tobytes()


def tiff(image: np.ndarray, order: str, bits: int = 8) -> bytes:
    """A TIFF in one strip, with its header before its pixels; samples are packed densely."""
    packed = ("".join(format(value, f"0{bits}b") for value in row) for row in image.tolist())
    rows = [row.ljust(-(-len(row) // 8) * 8, "0") for row in packed]
    pixels = int("".join(rows), 2).to_bytes(sum(map(len, rows)) // 8, "big")
    (height, width), start = image.shape, 8 + 2 + 9 * 12 + 4
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, start), (277, 1)]
    tags += [(278, height), (279, len(pixels))]
    entries = [struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags]
    start_of_file = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 9)
    return start_of_file + b"".join(entries) + bytes(4) + pixels


def with_comment(data: bytes, payload: bytes) -> bytes:
    """The JPEG with a comment segment in front, as large as a comment can be."""
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def with_comment_between_scans(data: bytes, payload: bytes) -> bytes:
    """The progressive JPEG with a comment before its last scan."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + with_comment(b"  ", payload)[2:] + data[last:]


PROGRESSIVE = jpeg(picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
GOOD = {
    "jpeg": jpeg(picture()),
    "progressive": PROGRESSIVE,
    "progressive with an end in a comment": with_comment_between_scans(
        PROGRESSIVE, b"\xff\xd9" * 20
    ),
    "restart markers": jpeg(picture(), cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "colour": jpeg(np.dstack([picture()] * 3)),
    "png": png(picture()),
    "padded": jpeg(picture()) + b"\0" * 50,
    "padded to a block": jpeg(picture()) + bytes(1 << 16),
    "with a camera's trailer": jpeg(picture()) + b"SEFT" + bytes(range(256)) * 40,
    "with a preview behind it": jpeg(picture()) + jpeg(picture((200, 400))) + bytes(5000),
    "padded png": png(picture()) + bytes(1 << 16),
    "bmp": encoded(".bmp"),
    "colour bmp": encoded(".bmp", colour()),
    "padded bmp": encoded(".bmp") + bytes(5000),
    "tiff": encoded(".tif"),
    "uncompressed tiff": encoded(".tif", None, cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "tiff in strips": encoded(".tif", None, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 4),
    "colour tiff": encoded(".tif", colour()),
    "tiff of the other byte order": tiff(picture(), ">"),
    "lossless webp": encoded(".webp"),
    "webp": encoded(".webp", colour(), cv2.IMWRITE_WEBP_QUALITY, 80),
    "webp with transparency": encoded(".webp", colour(4), cv2.IMWRITE_WEBP_QUALITY, 80),
    "fill bytes": jpeg(picture())[:2] + b"\xff" * 5 + jpeg(picture())[2:],
    # The comment holds an end-of-image marker and pushes the header past the first read.
    "long comment": with_comment(jpeg(picture()), b"\xff\xd9" * 10_000),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_whole_image_passes_and_is_read_as_grey(tmp_path, kind):
    path = tmp_path / "strip.jpg"
    path.write_bytes(GOOD[kind])
    check_header(path, SIZE)
    image = read_image(path, SIZE)
    assert image.shape == SIZE
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def test_colour_images_are_read_in_red_green_blue(tmp_path):
    path = tmp_path / "red.png"
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 2] = 255  # cv2 writes blue, green, red
    path.write_bytes(png(red))
    image = read_image(path, SIZE, channels=3)
    assert image.shape == (*SIZE, 3)
    assert image[0, 0].tolist() == [255, 0, 0]


def exif_orientation(data: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    payload = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def test_an_orientation_tag_does_not_turn_the_pixels(tmp_path):
    path = tmp_path / "strip.jpg"
    path.write_bytes(exif_orientation(GOOD["jpeg"], 6))
    assert cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).shape == SIZE[::-1]
    np.testing.assert_array_equal(
        read_image(path, SIZE), cv2.imdecode(np.frombuffer(GOOD["jpeg"], np.uint8), 0)
    )


BOMB = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    + b"\0\0\0\0"
    + zlib.compress(bytes(1000))
)
TEXT = b"<html>404 not found</html>"
BAD = {
    "not an image": (TEXT, "begins with b'<html>40'"),
    "empty": (b"", "begins with b''"),
    "truncated jpeg": (GOOD["jpeg"][: len(GOOD["jpeg"]) // 2], "truncated"),
    "truncated by two bytes": (GOOD["jpeg"][:-2], "truncated"),
    "truncated, then zeros": (GOOD["jpeg"][:500] + bytes(3000), "truncated"),
    "truncated, then more zeros": (GOOD["progressive"][:-2] + bytes(1 << 16), "truncated"),
    "truncated after a marker between scans": (
        GOOD["progressive with an end in a comment"][:-2] + bytes(3000),
        "truncated",
    ),
    "truncated png, then zeros": (GOOD["png"][:-12] + bytes(3000), "truncated"),
    "truncated in the header": (GOOD["jpeg"][:60], "truncated, its 60 bytes"),
    "truncated after a marker in a comment": (GOOD["long comment"][:-400], "truncated"),
    "truncated png": (GOOD["png"][:-12], "truncated"),
    "truncated bmp": (GOOD["bmp"][:-1], "truncated"),
    "truncated tiff": (GOOD["tiff of the other byte order"][:-1], "truncated"),
    "tiff without its header": (GOOD["tiff"][:-1000], "truncated"),
    "truncated webp": (GOOD["lossless webp"][:-2], "truncated"),
    "bmp of other size": (encoded(".bmp", picture((16, 64))), "16x64 pixels"),
    "tiff of other size": (encoded(".tif", picture((16, 64))), "16x64 pixels"),
    "webp of other size": (encoded(".webp", picture((16, 64))), "16x64 pixels"),
    "a large bmp": (
        struct.pack("<2sIIIIiiHHI", b"BM", 0, 0, 54, 40, 50_000, -50_000, 1, 8, 0),
        "50000x50000 pixels",
    ),
    "a file that begins like a bmp": (b"BM" + bytes(60), "not an image"),
    "png of 20 bytes": (GOOD["png"][:20], "truncated"),
    "jpeg of other size": (
        jpeg(picture((16, 64))),
        "16x64 pixels (height x width); expected 32x64",
    ),
    "turned": (jpeg(picture((64, 32))), "64x32 pixels (height x width); expected 32x64"),
    "bomb": (BOMB, "60000x60000 pixels"),
    "jpeg start only": (b"\xff\xd8\xff\xe0\x00\x01", "not an image"),
}


@pytest.mark.parametrize("read", [check_header, read_image])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path, kind, read):
    path = tmp_path / "strip.jpg"
    data, expected = BAD[kind]
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path, SIZE)
    line = str(caught.value)
    assert str(path) in line
    assert expected in line
    assert "expected" in line


def test_a_header_around_garbage_is_refused_when_it_is_decoded(tmp_path):
    path = tmp_path / "strip.png"
    data = GOOD["png"]
    path.write_bytes(data[:41] + b"garbage" + data[48:])
    with pytest.raises(InputError, match=r"strip\.png: \d+ bytes that cannot be decoded"):
        read_image(path, SIZE)


@pytest.mark.parametrize("read", [check_header, read_image])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, read):
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read(path, SIZE)


@given(st.binary(max_size=40), st.sampled_from(sorted(GOOD)), st.integers(0, 700))
@settings(deadline=None, max_examples=200)
def test_parsing_any_bytes_ends_in_a_header_or_one_of_two_errors(noise, kind, position):
    data = GOOD[kind]
    for candidate in (noise, data[:position], data[:position] + noise + data[position:]):
        try:
            parse_header(candidate)
        except (NotAnImageError, IncompleteHeaderError):
            continue


def test_real_strips_are_grey_in_all_channels(severstal_sample):
    paths = sorted((severstal_sample / "train_images").iterdir())[:10]
    for path in paths:
        check_header(path, (256, 1600))
        colour = cv2.imread(str(path), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(read_image(path, (256, 1600)), colour[..., 1])
