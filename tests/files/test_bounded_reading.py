import os
import tracemalloc

import pytest
from omegaconf import OmegaConf

from core.errors import InputError
from core.files.reading import MEBIBYTE, bounded_lines, opened, read_bytes, read_json, read_yaml


def refused(read, path, words):
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert path.name in line
    assert words in line
    assert "\n" not in line


@pytest.fixture
def large(tmp_path):
    """A file of 2 GiB that takes no room on the disk."""
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(2048 * MEBIBYTE)
    return path


@pytest.mark.parametrize("read", [lambda path: read_bytes(path, 100), read_json, read_yaml])
def test_a_large_file_is_refused_before_memory_is_used(read, large):
    tracemalloc.start()
    refused(read, large, "2147483648 bytes; expected at most")
    assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    tracemalloc.stop()


def test_a_long_line_is_refused_before_it_is_read(large):
    with opened(large, 4096 * MEBIBYTE) as stream:
        tracemalloc.start()
        with pytest.raises(InputError, match="line 1: more than 1000 bytes"):
            next(bounded_lines(stream, large, 1000))
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
        tracemalloc.stop()


def test_a_pipe_and_a_device_do_not_hold_a_reader_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        refused(lambda path: read_bytes(path, 10), tmp_path / name, "pipe, socket or device")


def test_what_is_not_there_and_a_folder_are_refused(tmp_path):
    refused(read_json, tmp_path / "absent", "No such file")
    refused(read_json, tmp_path, "Is a directory")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    refused(read_json, tmp_path / "circle", "symbolic links")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "kept.json").write_text('{"a": [1, "é"]}')
    (tmp_path / "link.json").symlink_to(tmp_path / "kept.json")
    assert read_json(tmp_path / "link.json") == {"a": [1, "é"]}


BAD_JSON = {
    "empty": ("", "not a JSON file"),
    "cut off": ('{"a": 1', "perhaps cut off"),
    "nested": ("[" * 100_000 + "]" * 100_000, "nested deeper than 64 levels"),
    "nested objects": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper"),
    "nested within the interpreter's depth": ("[" * 70 + "]" * 70, "nested deeper"),
    "not a number": ('{"a": NaN}', "NaN is not JSON"),
    "infinite": ('{"a": [1e999]}', "not finite"),
    "long number": ("9" * 10_000, "not a JSON file"),
    "half a character": ('{"a": "\\ud800"}', "expected Unicode text"),
    "half a character as a key": ('{"\\ud800": 1}', "expected Unicode text"),
    "other encoding": ('"é"'.encode("latin-1"), "not a JSON file"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused(tmp_path, name):
    content, words = BAD_JSON[name]
    path = tmp_path / "results.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(read_json, path, words)


def test_a_config_comes_back(tmp_path):
    config = {"a": {"b": [1, 2.5e-7, None, True, "1e-3", "x: y", "ü", "${not.resolved}"]}, "c": {}}
    path = tmp_path / "config.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)), encoding="utf-8")
    assert read_yaml(path) == config


BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
)
BAD_YAML = {
    "python object": ("a: !!python/object/apply:os.system ['true']", "line 1: a tag"),
    "python name": ("a: 1\nb: !!python/name:os.system", "line 2: a tag"),
    "own tag": ("a: !thing 1", "a tag"),
    "aliases that multiply": (BOMB, "anchor"),
    "nested": ("a: " + "[" * 100_000, "nested deeper than 64 levels"),
    "nested mappings": ("{a: " * 100_000, "nested deeper"),
    "a list": ("[1, 2]", "holds no keys"),
    "a number": ("0", "holds no keys"),
    "half": ("a: [1,", "not a YAML file"),
    "bad interpolation": ("a: ${b", "not a YAML file"),
    "bytes": (b"\xff\xfe\x01", "not a YAML file"),
    "NUL": ("a: \0", "not a YAML file"),
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_bad_yaml_is_refused(tmp_path, name):
    content, words = BAD_YAML[name]
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(read_yaml, path, words)
