"""`data.resize=auto`: a size with the proportions of the images, within a number of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strip_folders import strip_ids, write_csv, write_strips

from core.data import fitting_size as module
from core.data.fitting_size import MOST_PIXELS, fitting_size
from core.data.settings import DataSettings
from core.errors import InputError
from core.running.loading import read_data, with_image_size

SIDE = st.integers(1, 20_000)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(256, 1600)], (128, 800)),
        ([(128, 128)], (128, 128)),
        ([(100, 300), (110, 200), (400, 250)], (96, 256)),
        ([(7, 9)], (32, 32)),
        ([(2000, 2000)], (320, 320)),
        ([(1200, 1600)], (288, 352)),
        ([(480, 640)], (288, 352)),
        ([(1080, 1920)], (224, 416)),
        ([(49, 2090)], (32, 2080)),
        ([(7, 20_000)], (32, 3200)),
    ],
)
def test_known_sizes(monkeypatch, sizes, expected):
    monkeypatch.setattr(module, "stored_size", lambda path, image_size: sizes[path])
    assert fitting_size(range(len(sizes))) == expected


@given(SIDE, SIDE)
def test_never_larger_than_allowed_and_near_the_proportions(height, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "stored_size", lambda path, image_size: (height, width))
        found = fitting_size([0])
    assert all(side % 32 == 0 and side >= 32 for side in found)
    assert found[0] * found[1] <= MOST_PIXELS
    scale = min(1, (MOST_PIXELS / (height * width)) ** 0.5)
    wanted = height * scale, width * scale
    if min(wanted) >= 32:
        assert all(abs(side - want) <= 32 for side, want in zip(found, wanted, strict=True))


def test_unreadable_headers_are_passed_over(tmp_path):
    write_strips(tmp_path, strip_ids(2), (64, 96))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert fitting_size(sorted(tmp_path.iterdir())) == (64, 96)
    with pytest.raises(InputError, match=r"data.resize=auto: found no image .* among 1 files"):
        fitting_size([tmp_path / "broken.jpg"])


def test_it_is_settled_before_images_are_read(tmp_path):
    for name, size in zip(strip_ids(3), [(64, 320), (60, 300), (64, 310)], strict=True):
        write_strips(tmp_path / "images", [name], size)
    write_csv(tmp_path / "labels.csv", ["ImageId,a", *(f"{name},1" for name in strip_ids(3))])
    settings = DataSettings(root=tmp_path, resize="auto", group_duplicates=False)
    with pytest.raises(ValueError, match="settled"):
        _ = settings.image_format
    settled = with_image_size(settings)
    assert settled.resize == (64, 320)
    assert np.asarray(read_data(settled).images.read(0)).shape == (64, 320)
    assert with_image_size(settled) is settled
