"""Whatever stands in the files of an experiment: an answer or an InputError."""

import json

import pytest
from experiment_factory import write_experiment
from fuzzing import BYTES, CELLS, changed, fuzzed, refused_or, replaced, written
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.ranking import figure, figure_keys, interval
from core.analysis.report_images import duplicates
from core.experiments.predictions import images_key, read_predictions, split_key
from core.experiments.reading import Experiment, read_experiment
from core.files.spreadsheet import as_text, original

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(content=BYTES)
@fuzzed
def test_lists_of_duplicates(folder, content):
    path = written(folder, "duplicates.csv", content)
    refused_or(lambda file: duplicates(Experiment(file.parent, {}), {}), path)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("experiments"), images=20)


@pytest.fixture(scope="module")
def results(experiment):
    return json.loads((experiment / "results.json").read_text())


@given(data=st.data())
@fuzzed
def test_results(folder, results, data):
    key = data.draw(st.sampled_from(sorted(results)))
    value = data.draw(replaced({key: results[key]}))
    content = {name: inner for name, inner in results.items() if name != key} | (
        value if isinstance(value, dict) else {}
    )
    written(folder, "results.json", json.dumps(content).encode())
    read = refused_or(read_experiment, folder)
    if read is not None:
        assert isinstance(read.config, dict)
        for figure_key in figure_keys(read.class_names).values():
            figure(read, figure_key)
            interval(read, figure_key)
        split_key(read)
        images_key(read)


@given(data=st.data())
@fuzzed
def test_predictions(experiment, data):
    file = experiment / "predictions.csv"
    whole = file.read_bytes()
    read = read_experiment(experiment)
    lines = whole.decode().splitlines()
    row, cell = data.draw(st.integers(0, len(lines) - 1)), data.draw(CELLS)
    cells = lines[row].split(",")
    cells[data.draw(st.integers(0, len(cells) - 1))] = cell
    changed_lines = [*lines[:row], ",".join(cells), *lines[row + 1 :]]
    try:
        for content in ("\n".join(changed_lines).encode(), data.draw(changed(whole))):
            file.write_bytes(content)
            part = refused_or(read_predictions, read)
            assert part is None or len(part.image_ids) == read.look_up("test", "num_images")
            images_key(read)
    finally:
        file.write_bytes(whole)
    assert original(as_text(cell)) == cell
