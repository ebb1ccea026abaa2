"""Whatever a config, a YAML or a JSON file holds: an answer or an InputError."""

import pytest
from fuzzing import JSON, changed, fuzzed, refused_or, written
from hypothesis import given
from hypothesis import strategies as st

from core.command.config import SETTINGS
from core.files.reading import read_json, read_yaml
from core.validation import validate

pytestmark = pytest.mark.slow

CONTENT = b'{"size": {"height": 32, "width": 64}, "objects": [{"origin": [1, 2.5, null, "a"]}]}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(content=changed(CONTENT) | st.binary(max_size=40))
@fuzzed
def test_json_files(folder, content):
    refused_or(read_json, written(folder, "any.json", content))


YAML = (
    b"model: {name: resnet50, stages: [3, 4]}\nloss:\n  gamma: 2.0\n  alpha: null\n  text: 'a: b'\n"
)


@given(content=changed(YAML) | st.text(max_size=40).map(lambda t: t.encode("utf-8", "replace")))
@fuzzed
def test_yaml_files(folder, content):
    config = refused_or(read_yaml, written(folder, "config.yaml", content))
    assert config is None or isinstance(config, dict)


@given(section=st.sampled_from(list(SETTINGS)), data=st.data())
@fuzzed
def test_config_values(section, data):
    known = SETTINGS[section]
    keys = st.sampled_from(sorted(known.model_fields)) | st.text(max_size=4)
    values = data.draw(st.dictionaries(keys, JSON, max_size=3))
    refused_or(validate, known, values, section)
