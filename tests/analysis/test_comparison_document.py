"""How a comparison reads: its width, what experiments are called, one list of ranks."""

import csv
import json
import re

import numpy as np
import pytest
from experiment_factory import write_experiment

from core.analysis.comparison import compare_results
from core.analysis.comparison_formats import as_text
from core.analysis.differences import labels
from core.analysis.text_tables import fitted, split_columns
from core.experiments.reading import read_experiment
from core.metrics.intervals import Bootstrap

QUICK = Bootstrap(resamples=50)
LOSSES = ("focal_loss", "bce_with_logits")


def write_sweep(folder, name="experiment_20261128_1500{:02d}", **recipe):
    """Two losses with three seeds each."""
    jobs = [(loss, seed) for loss in LOSSES for seed in (1, 2, 3)]
    shared = recipe.pop("config", {})
    for number, (loss, seed) in enumerate(jobs):
        config = {"loss.type": loss, **shared}
        own = recipe | {"seed": seed, "config": config}
        write_experiment(folder, name=name.format(number), images=60, **own)
    return [read_experiment(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder)
    return compare_results(results_dir=folder, bootstrap=QUICK)


def too_wide(text, width=80):
    """The lines of tables that are wider; those of lists may hold a long path."""
    return [
        line for line in text.splitlines() if len(line) > width and line[:2] not in ("- ", "  ")
    ]


def block(text, title):
    """The rows of the table below a title, split into cells."""
    lines = text.partition(f"{title}:\n\n")[2].partition("\n\n")[0].splitlines()
    return [re.split(r"\s{2,}", line) for line in lines if not line.startswith("---")]


def test_experiments_of_one_name_in_two_folders_are_told_apart_everywhere(tmp_path):
    """The best of all is seed 1 of the other folder: its table row is no row of this one."""
    paths = []
    for folder, rate, quality in (("slow", 0.001, 0.7), ("fast", 0.5, 0.8)):
        for seed in (1, 2):
            paths.append(
                write_experiment(
                    tmp_path / folder, name=f"run{seed}", images=60, seed=seed, quality=quality,
                    config={"training.learning_rate": rate},
                )
            )  # fmt: skip
    compared = compare_results(paths, bootstrap=QUICK)
    found = block(as_text(compared, "table"), "Over seeds, mean ± standard deviation")[1:]
    assert [row[0] for row in found] == ["slow/run1 ...", "fast/run1 ..."]
    for row, folder in zip(found, ("slow", "fast"), strict=True):
        own = [one for one in compared.experiments if one.path.parent.name == folder]
        mean = np.mean([one.look_up("test", "macro", "f1") for one in own])
        assert row[2].startswith(f"{mean:.3f}")
    names = {f"{folder}/run{seed}" for folder in ("slow", "fast") for seed in (1, 2)}
    content = json.loads(as_text(compared, "json"))
    assert {row["experiment"] for row in content["experiments"]} == names
    assert content["differences"]["training.learning_rate"] == {
        "0.001": ["slow/run1", "slow/run2"],
        "0.5": ["fast/run1", "fast/run2"],
    }
    assert content["seeds"][0]["members"] == ["slow/run1", "slow/run2"]
    rows = csv.DictReader(as_text(compared, "csv").splitlines())
    assert {row["experiment"] for row in rows} == names


def test_members_of_a_sweep_are_called_by_what_varies(sweep):
    expected = {f"{loss} seed={seed}" for loss in LOSSES for seed in (1, 2, 3)}
    assert set(sweep.labels.values()) == expected
    table = as_text(sweep, "table")
    header, _, *rows = table.partition("\n\n")[0].splitlines()
    assert header.split() == ["rank", "experiment", "macro-F1", "macro", "AP"]
    best = sweep.experiments[0]
    assert rows[0].split("  ")[0] == "1"
    assert sweep.labels[str(best.path)] in rows[0]
    # The folder of each is found by its rank.
    folders = block(table, "Folders")
    assert folders[1:] == [[str(k), one.name] for k, one in enumerate(sweep.experiments, start=1)]
    assert [row[0] for row in block(table, "Over seeds, mean ± standard deviation")[1:]] == [
        *LOSSES
    ]
    assert all(sweep.labels[str(best.path)] in pair.sentence() for pair in sweep.pairs)


def test_what_differs_names_ranks(sweep):
    ranks = {
        value: [k for k, one in enumerate(sweep.experiments, 1) if one.config["loss.type"] == value]
        for value in LOSSES
    }
    rows = block(as_text(sweep, "table"), "What differs")
    found = {row[-2]: row[-1] for row in rows[1:]}
    for loss in LOSSES:
        assert found[loss] == ", ".join(map(str, ranks[loss]))


def test_names_are_kept_where_variation_does_not_tell_apart(tmp_path):
    one, two = (
        read_experiment(write_experiment(tmp_path, name=f"experiment_20261128_15000{k}", images=60))
        for k in (1, 2)
    )
    assert labels([one, two]) == [one.name, two.name]
    for folder in ("a", "b"):
        write_experiment(tmp_path / folder, name="fold_1", images=60)
    folds = [read_experiment(tmp_path / folder / "fold_1") for folder in ("a", "b")]
    assert labels(folds) == ["a/fold_1", "b/fold_1"]
    long = write_sweep(tmp_path / "long", config={"data.root": "strips/" * 8})
    long[0].results["config"]["data"]["root"] = "other"
    assert labels(long) == [one.name for one in long]


def test_chosen_names_are_kept_beside_what_varies(tmp_path):
    first, second, other = (
        read_experiment(write_experiment(tmp_path, name=name, images=60, seed=seed))
        for name, seed in (
            ("a_20261128_150001", 1),
            ("a_20261128_150002", 2),
            ("b_20261128_150003", 1),
        )
    )
    assert labels([first, other]) == ["a_20261128_150001", "b_20261128_150003"]
    assert labels([first, second, other]) == ["a seed=1", "a seed=2", "b seed=1"]


def test_each_set_of_test_images_has_one_list_of_ranks(tmp_path):
    for name, data_seed in (("one", 0), ("two", 0), ("three", 5)):
        write_experiment(tmp_path, name=name, images=60, data_seed=data_seed)
    compared = compare_results(results_dir=tmp_path, bootstrap=QUICK)
    table = as_text(compared, "table", ["macro_auroc"])
    number = compared.groups[0].num_images
    first, second = (block(table, f"Test set {k}, {number} images") for k in "AB")
    assert [row[0] for row in first] == ["rank", "A1", "A2"]
    assert [row[:2] for row in second[1:]] == [["B1", "three"]]
    ranks = [row[-1] for row in block(table, "What differs")]
    assert ranks == ["rank", "A1, A2", "B1"]


@pytest.mark.parametrize("sort", ["macro_f1", "a class of some length_average_precision"])
def test_no_line_of_a_table_is_wider_than_the_terminal(tmp_path, sort):
    names = ["a class of some length", "scratch" * 12, "b", "c"]
    write_sweep(
        tmp_path, name="a_name_that_is_rather_long_for_a_table_{}", class_names=names,
        config={"data.root": "/home/somebody/data" * 5},
    )  # fmt: skip
    compared = compare_results(results_dir=tmp_path, sort=sort, bootstrap=QUICK)
    for columns in ([], ["f1"], ["all"]):
        for width in (80, 120):
            table = as_text(compared, "table", columns, width)
            assert too_wide(table, width) == [], (columns, width)


def test_words_stay_whole_while_another_column_can_give_way():
    rows = [["name", "figure", "differs"], ["experiment_20261128", "0.900", "one_long_word=true b"]]
    lines = fitted(rows, 42, wrapped=(0, 2)).splitlines()
    assert lines[2].split() == ["experiment_20261128", "0.900", "one_long_word"]
    assert lines[3].split() == ["=true", "b"]
    assert max(map(len, lines)) <= 42


def test_a_table_is_wrapped_and_cut_only_where_it_is_too_wide():
    rows = [["name", "value"], ["one two three four", "1.000"]]
    assert fitted(rows, 80).splitlines() == [
        "name                value",
        "------------------  -----",
        "one two three four  1.000",
    ]
    assert fitted(rows, 16).splitlines() == [
        "name       value",
        "---------  -----",
        "one two    1.000",
        "three",
        "four",
    ]
    cut = fitted([["name", "value"], ["x" * 60, "1.000"]], 16).splitlines()
    assert [line.split()[0] for line in cut[2:]] == ["x" * 9, "x" * 9, "x" * 6 + "..."]


def test_columns_that_do_not_fit_begin_another_table():
    rows = [["rank", *(f"figure {k}" for k in range(5))], ["1", *"abcde"]]
    tables = split_columns(rows, 28)
    assert [table[1] for table in tables] == [["1", "a", "b"], ["1", "c", "d"], ["1", "e"]]
    assert split_columns([["rank"], ["1"]], 28) == []
