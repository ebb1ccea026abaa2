"""What predict.py says at its end."""

import numpy as np
import pytest

from core.predicting.outcome import Outcome
from core.predicting.signature import Signature
from core.predicting.stream import Row

SIGNATURE = Signature(
    model="m@1", class_names=("pit", "rust"), image_size=(32, 64), channels=1,
    thresholds=(0.5, 0.25), threshold_version="f1@1",
)  # fmt: skip


def row(number: int, *probabilities: float, error: str = "") -> Row:
    image = f"strips/{number}.jpg"
    values = np.array(probabilities) if probabilities else None
    return Row(image, values, f"{image}: {error}" if error else "")


def outcome(*rows: Row) -> Outcome:
    found = Outcome(SIGNATURE)
    assert list(found.counted(rows)) == list(rows)
    return found


def test_counts_per_class_at_the_thresholds():
    rows = (row(1, 0.5, 0.1), row(2, 0.9, 0.25), row(3, 0.1, 0.1), row(4, 0.2, 0.2))
    assert outcome(*rows).summary() == (
        "4 images, 0 unreadable\nfound: pit 2, rust 1; nothing on 2 images"
    )


def test_a_reason_stays_whole_where_the_image_has_a_short_name():
    found = outcome(Row("e", None, "e: cannot be read (No such file or directory)"))
    assert "1 image: cannot be read (No such file or directory)" in found.summary()


def test_one_image_is_one_image():
    assert outcome(row(1, 0.1, 0.1)).summary() == (
        "1 image, 0 unreadable\nfound: pit 0, rust 0; nothing on 1 image"
    )


def test_the_commonest_reason_is_said_once():
    rows = [row(k, error=f"truncated after {k} bytes: copy it again") for k in (1, 2, 3)]
    rows += [row(4, error="not an image"), row(5, 0.6, 0.1)]
    lines = outcome(*rows).summary().splitlines()
    assert lines == [
        "5 images, 4 unreadable",
        "not read, 3 images: truncated after 1 bytes: copy it again; "
        "other reasons: 1, see the rows",
        "found: pit 1, rust 0; nothing on 0 images",
    ]
    assert len(outcome(*rows[:4]).summary().splitlines()) == 2


def test_any_number_of_reasons_takes_the_same_memory():
    letters = [chr(ord("a") + k % 26) * (1 + k // 26) for k in range(2000)]
    found = outcome(*(row(k, error=text) for k, text in enumerate(letters)))
    assert len(found.examples) == len(found.reasons) == 100
    assert found.num_errors == 2000


@pytest.mark.parametrize("rows", [(), (row(1, 0.9, 0.9),)])
def test_any_number_of_rows_has_a_summary(rows):
    assert outcome(*rows).summary()
