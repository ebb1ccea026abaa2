"""predictions.csv: read as written, and refused where it does not fit its results."""

import csv

import numpy as np
import pytest
from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results

from core.errors import InputError
from core.experiments.predictions import (
    Predictions,
    images_key,
    read_predictions,
    split_key,
    write_predictions,
)
from core.experiments.reading import read_experiment
from core.metrics.classification import classification_metrics


@pytest.fixture
def folder(tmp_path):
    return write_experiment(tmp_path, images=100)


def edit(folder, change):
    """Rewrite predictions.csv, as a list of lines."""
    file = folder / "predictions.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(change(lines)) + "\n")


def refused(folder, match, split="test"):
    with pytest.raises(InputError, match=match) as caught:
        read_predictions(read_experiment(folder), split)
    assert "predictions.csv" in str(caught.value)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_give_the_figures_of_the_results(folder, split):
    experiment = read_experiment(folder)
    part = read_predictions(experiment, split)
    assert list(part.image_ids) == sorted(part.image_ids)
    found = classification_metrics(part.labels, part.probabilities, CLASS_NAMES)
    assert found["per_class"] == experiment.look_up(split, "per_class")


def test_order_of_rows_and_columns_does_not_matter(folder):
    experiment = read_experiment(folder)
    before = read_predictions(experiment)

    def turned(lines):
        rows = [line.split(",") for line in lines]
        return [",".join(row[::-1]) for row in [rows[0], *rows[:0:-1]]]

    edit(folder, turned)
    after = read_predictions(experiment)
    assert after.image_ids == before.image_ids
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)


def test_missing_images_are_noticed(folder):
    edit(folder, lambda lines: lines[:-3])
    refused(folder, r"97 images in split 'test'; results\.json counted 100")
    edit(folder, lambda lines: lines[:60])
    refused(folder, "no row with split 'test'")


def test_an_image_twice_is_named(folder):
    edit(folder, lambda lines: [*lines[:-1], lines[-2]])
    refused(folder, r"image \S+\.jpg occurs twice")


def test_a_cut_off_line_is_named(folder):
    edit(folder, lambda lines: [*lines[:-1], lines[-1][:20]])
    refused(folder, r"line 201: 4 of 10 cells .*the file may be cut off")


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "inf"])
def test_impossible_probabilities_are_named(folder, value):
    edit(folder, lambda lines: [*lines[:-1], ",".join([*lines[-1].split(",")[:-1], value])])
    refused(folder, r"probability .*'defect_4'.*expected a number in \[0, 1\]")


def test_words_for_numbers_and_missing_columns_are_named(folder):
    edit(folder, lambda lines: [*lines[:-1], ",".join([*lines[-1].split(",")[:-1], "high"])])
    refused(folder, r"line 201: .*'high'")
    edit(folder, lambda lines: [lines[0].replace("probability_defect_2", "p2"), *lines[1:]])
    refused(folder, "no column 'probability_defect_2'")


def test_labels_that_differ_from_the_results_are_noticed(folder):
    results = read_results(folder)
    results["test"]["per_class"]["defect_3"]["support"] += 1
    write_results(folder, results)
    refused(folder, r"images of defect_3 in split 'test'; results\.json counted")


def test_a_missing_or_binary_file_is_named(folder):
    (folder / "predictions.csv").write_bytes(b"\xff\xfe\x00image_id")
    refused(folder, "expected text in UTF-8")
    (folder / "predictions.csv").unlink()
    refused(folder, "cannot be read")


@pytest.mark.slow
def test_the_key_tells_test_images_apart(tmp_path):
    def key(name, **values):
        return images_key(read_experiment(write_experiment(tmp_path, name=name, **values)))

    one = key("one")
    assert key("other_probabilities", seed=7, quality=1.0) == one
    assert key("other_images", data_seed=1) != one
    assert key("fewer_images", images=60) != one
    folder = write_experiment(tmp_path, name="reordered")
    edit(folder, lambda lines: [lines[0], *lines[:0:-1]])
    assert images_key(read_experiment(folder)) == one
    results = read_results(folder)
    results["data"]["fingerprint"] = "other files of the same names"
    write_results(folder, results)
    assert images_key(read_experiment(folder)) != one


def test_the_key_tells_test_images_with_commas_apart(folder):
    def key(change):
        edit(folder, lambda lines: [lines[0], *map(change, lines[1:])])
        return images_key(read_experiment(folder))

    plain = key(str)
    in_quotes = key(lambda line: '"line 3, {}",{}'.format(*line.split(",", 1)))
    assert in_quotes != plain
    assert key(lambda line: line.replace("line 3, ", "line 4, ")) != in_quotes
    assert key(lambda line: line.replace("line 4, ", "line 3, ")) == in_quotes
    # Quotes in the validation part are no other test images.
    unquoted = key(lambda line: line.replace("line 3, ", "") if ",test," in line else line)
    assert unquoted == plain
    # What is no table falls back on what results.json says.
    edit(folder, lambda lines: [*lines, '"open'])
    assert split_key(read_experiment(folder)) in images_key(read_experiment(folder))


def test_without_predictions_the_key_is_what_is_said_of_the_split(tmp_path):
    folders = [write_experiment(tmp_path, name=name) for name in ("one", "other")]
    for folder in folders:
        (folder / "predictions.csv").unlink()
    one, other = (images_key(read_experiment(folder)) for folder in folders)
    assert one == other


FORMULAS = ["=cmd.jpg", "+1.jpg", "-2.jpg", "@sum.jpg", "'=quoted.jpg", "'plain.jpg", "a,b.jpg"]


def test_images_named_like_formulas_are_text_and_come_back(folder):
    """As training writes them: a spreadsheet shows the name and runs nothing."""
    images = tuple(sorted(FORMULAS))
    labels = np.tile([1, 0, 0, 0], (len(images), 1))
    part = Predictions(images, labels, np.zeros(labels.shape))
    write_predictions(folder / "predictions.csv", {"test": part}, CLASS_NAMES)
    with (folder / "predictions.csv").open(newline="") as stream:
        written = [row[0] for row in csv.reader(stream)][1:]
    assert not [name for name in written if name[0] in "=+-@"]
    results = read_results(folder)
    results["test"]["num_images"] = len(images)
    for name, column in zip(CLASS_NAMES, labels.T, strict=True):
        results["test"]["per_class"][name]["support"] = int(column.sum())
    write_results(folder, results)
    assert read_predictions(read_experiment(folder)).image_ids == images
