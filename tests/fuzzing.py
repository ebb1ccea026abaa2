"""Inputs for the tests whose names hold `fuzz`: an answer or an InputError, whatever is given.

FUZZ_EXAMPLES=100000 python -m pytest tests -k fuzz tries that many inputs in all, new ones each
time; without it the same few thousand are tried in every run.
"""

import copy
import json
import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from core.errors import InputError

TARGETS = 13
GIVEN = os.environ.get("FUZZ_EXAMPLES")
EXAMPLES = max(1, int(GIVEN or 3900) // TARGETS)
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=GIVEN is None,
    suppress_health_check=list(HealthCheck),
)

IDS = ("a.jpg", "b.jpg", "=c.jpg")
TOKENS = st.sampled_from(
    ["ImageId", "ClassId", "EncodedPixels", "ImageId_ClassId", "image_id", "split", "pit", "crack",
     "train", "validation", "test", *IDS, "'=c.jpg", "a.jpg_1", "b.jpg_2", "0", "1", "2", "1 2",
     "1 2 9 3", "2048 1", "", "first", "second", "\0", "é", '"', "'"]
)  # fmt: skip
CELLS = TOKENS | st.text(max_size=8)
LINES = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=6)
TABLES = st.tuples(
    st.sampled_from(
        ["ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels", "ImageId,pit,crack",
         "image_id,split", "first,second", ""]
    ),
    LINES,
    st.sampled_from(["\n", "\r\n", "\r"]),
).map(lambda t: t[2].join([t[0], *t[1]]).encode())  # fmt: skip
BYTES = TABLES | st.binary(max_size=60)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["bitmap", "pit", 10**400, 1e308, -1, 32, 64, "null", "${a}", [0, 0]])
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def refused_or(call, *arguments, **keywords):
    """What the call returns, None where it refuses; anything else fails the test."""
    try:
        return call(*arguments, **keywords)
    except InputError as error:
        line = str(error)
    assert "\n" not in line
    assert len(line) < 2000
    return None


def written(folder: Path, name: str, content: bytes) -> Path:
    """The path of a file with that content."""
    path = folder / name
    path.write_bytes(content)
    return path


@st.composite
def changed(draw, data):
    """Bytes with a few places changed."""
    content = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 8)))
        content[start:stop] = draw(st.binary(max_size=8))
    return bytes(content)


@st.composite
def replaced(draw, content):
    """A JSON value with some of its inner values replaced or dropped."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(0, 2))):
        parent, key = content, None
        for _ in range(draw(st.integers(1, 4))):
            inner = parent if key is None else parent[key]
            if not isinstance(inner, (dict, list)) or not inner:
                break
            keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
            parent, key = inner, draw(st.sampled_from(keys))
        if key is None:
            continue
        if draw(st.booleans()):
            # All examples share the lists among the leaves: a later change would alter them.
            parent[key] = copy.deepcopy(draw(JSON))
        else:
            del parent[key]
    return content
