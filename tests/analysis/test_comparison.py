"""Who is better, by how much, and when that may not be asked."""

import csv
import html
import io
import json
import re
import shutil

import numpy as np
import pytest
from experiment_factory import read_results, write_experiment, write_results
from scipy.stats import binom

from core.analysis import comparison as comparison_module
from core.analysis.comparison import compare_results
from core.analysis.comparison_formats import as_text
from core.analysis.differences import config_differences
from core.analysis.pairs import Pair, compare_pair, exact_mcnemar
from core.analysis.text_tables import summary_table
from core.errors import InputError
from core.experiments.predictions import read_predictions
from core.experiments.reading import load_json, read_experiment
from core.metrics.intervals import Bootstrap

QUICK = Bootstrap(resamples=300)


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    """Three experiments on the same images, one on others, two that cannot be used."""
    folder = tmp_path_factory.mktemp("results")
    write_experiment(folder, name="focal_1", seed=1)
    write_experiment(folder, name="focal_2", seed=2)
    write_experiment(folder, name="bce", seed=1, quality=0.8, config={"loss.type": "bce"})
    write_experiment(folder, name="elsewhere", seed=1, data_seed=5)
    failed = write_experiment(folder, name="failed")
    write_results(failed, read_results(failed) | {"status": "failed"})
    cut = write_experiment(folder, name="cut")
    (cut / "results.json").write_text('{"schema_version": 1, ')
    return folder


@pytest.fixture(scope="module")
def compared(results_dir):
    return compare_results(results_dir=results_dir, bootstrap=QUICK)


def test_experiments_are_ranked_among_those_of_the_same_images(compared):
    first, second = compared.groups
    assert {one.name for one in first.experiments} == {"focal_1", "focal_2", "bce"}
    assert [one.name for one in second.experiments] == ["elsewhere"]
    figures = [one.results["test"]["macro"]["f1"] for one in first.experiments]
    assert figures == sorted(figures, reverse=True)
    assert first.experiments[-1].name == "bce"
    assert any("2 different sets of test images" in note for note in compared.notes)


def test_what_cannot_be_used_is_named_and_the_others_are_listed(compared):
    assert len(compared.problems) == 2
    assert any("failed" in problem for problem in compared.problems)
    assert any("not a JSON file" in problem for problem in compared.problems)
    assert len(compared.experiments) == 4


def test_each_is_compared_with_the_best_of_its_group(compared):
    best = compared.groups[0].experiments[0].name
    assert {pair.first for pair in compared.pairs} == {best}
    assert len(compared.pairs) == 2
    worst = next(pair for pair in compared.pairs if pair.second == "bce")
    assert worst.distinguishable
    low, high = worst.interval
    assert 0 < low < worst.difference < high
    assert any("its lead is overestimated" in note for note in compared.notes)


def test_differences_name_keys_values_and_experiments(compared):
    losses = compared.differences["loss.type"]
    assert losses["bce"] == ["bce"]
    assert set(losses["focal_loss"]) == {"focal_1", "focal_2", "elsewhere"}
    assert "experiment.name" not in compared.differences
    assert "loss.gamma" not in compared.differences
    assert "data.fingerprint" in compared.differences


def test_a_key_that_only_one_has_is_a_difference(results_dir):
    one, other = (read_experiment(results_dir / name) for name in ("focal_1", "focal_2"))
    one.results["config"]["loss"]["label_smoothing"] = 0.1
    found = config_differences([one, other])
    assert found["loss.label_smoothing"] == {"0.1": ["focal_1"], "-": ["focal_2"]}


def test_parameters_of_a_component_that_others_lack_differ_with_its_type(results_dir):
    one, other = (read_experiment(results_dir / name) for name in ("focal_1", "focal_2"))
    one.results["config"]["mask_loss"] = {"type": "tversky_loss", "alpha": 0.3}
    other.results["config"]["mask_loss"] = None
    found = config_differences([one, other])
    assert found["mask_loss.type"] == {"tversky_loss": ["focal_1"], "-": ["focal_2"]}
    assert "mask_loss.alpha" not in found


def test_seeds_are_summarised_as_mean_and_spread(compared):
    (summary,) = compared.seeds
    assert (summary.members, summary.seeds) == (("focal_1", "focal_2"), (1, 2))
    assert summary.same_images
    values = [
        one.results["test"]["macro"]["f1"]
        for one in compared.experiments
        if one.name.startswith("focal")
    ]
    entry = summary.figures["macro_f1"]
    assert entry["mean"] == pytest.approx(np.mean(values))
    assert entry["standard_deviation"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
    assert (entry["lowest"], entry["highest"]) == (min(values), max(values))


def test_seeds_that_drew_other_test_images_are_said_to(tmp_path):
    for seed in (1, 2):
        folder = write_experiment(tmp_path, name=f"seed_{seed}", seed=seed, data_seed=seed)
        results = read_results(folder)
        results["data"]["fingerprint"] = "one data set"
        write_results(folder, results)
    compared = compare_results(results_dir=tmp_path, bootstrap=QUICK)
    (summary,) = compared.seeds
    assert not summary.same_images
    assert compared.pairs == []
    assert "another per seed" in as_text(compared, "table")


def test_filters_and_sort(results_dir):
    compared = compare_results(
        results_dir=results_dir,
        filters=["loss.type=focal_loss", "experiment.seed=1"],
        sort="defect_2_recall",
        bootstrap=QUICK,
    )
    assert {one.name for one in compared.experiments} == {"focal_1", "elsewhere"}
    names = [one.name for one in compare_results(
        results_dir=results_dir, filters=["loss.alpha=null"], bootstrap=QUICK
    ).experiments]  # fmt: skip
    assert len(names) == 4
    assert compare_results(
        results_dir=results_dir, filters=["loss.gamma=3"], bootstrap=QUICK
    ).experiments == []  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sort": "macro_f2"}, r"sort=macro_f2: unknown figure \(did you mean 'macro_f1'"),
        ({"filters": ["loss.typ=bce"]}, r"no experiment has the key 'loss.typ'.*'loss.type'"),
        ({"filters": ["focal"]}, "expected KEY=VALUE"),
        ({"experiments": ["focal_11"]}, "did you mean 'focal_1'"),
    ],
)
def test_mistakes_are_named(results_dir, arguments, match):
    with pytest.raises(InputError, match=match):
        compare_results(results_dir=results_dir, bootstrap=QUICK, **arguments)


def test_an_undefined_figure_is_ranked_last(tmp_path):
    folder = write_experiment(tmp_path, name="a_undefined")
    results = read_results(folder)
    results["test"]["macro"]["auroc"] = None
    write_results(folder, results)
    write_experiment(tmp_path, name="b")
    compared = compare_results(results_dir=tmp_path, sort="macro_auroc", bootstrap=QUICK)
    assert [one.name for one in compared.experiments] == ["b", "a_undefined"]


def test_many_experiments_are_listed_without_reading_their_predictions(tmp_path, monkeypatch):
    one = write_experiment(tmp_path, name="number_00", images=40)
    for number in range(1, comparison_module.MOST_PAIRED + 1):
        shutil.copytree(one, tmp_path / f"number_{number:02d}")
    monkeypatch.setattr(comparison_module, "compare_pair", None)
    compared = compare_results(results_dir=tmp_path)
    assert len(compared.experiments) == 11
    assert compared.pairs == []
    assert "name or filter at most 10" in compared.notes[-1]


def test_other_images_or_labels_are_refused(tmp_path):
    one, same, other = (
        read_experiment(write_experiment(tmp_path, name=name, data_seed=seed))
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    with pytest.raises(InputError, match=r"different images \(0 of 120 and 120 in common\)"):
        compare_pair(one, other, "macro_f1", ("macro", "f1"), QUICK)
    # Two images trade their labels, so that the classes keep their numbers of images.
    lines = (same.path / "predictions.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines if ",test," in line]
    first = rows[0]
    second = next(row for row in rows if row[2:6] != first[2:6])
    first[2:6], second[2:6] = second[2:6], first[2:6]
    kept = [line for line in lines if ",test," not in line]
    (same.path / "predictions.csv").write_text("\n".join([*kept, *map(",".join, rows)]) + "\n")
    with pytest.raises(InputError, match="the same images with different labels"):
        compare_pair(one, same, "macro_f1", ("macro", "f1"), QUICK)


def test_a_pair_with_bad_predictions_becomes_a_note(tmp_path):
    write_experiment(tmp_path, name="one")
    folder = write_experiment(tmp_path, name="two")
    text = (folder / "predictions.csv").read_text().splitlines()
    (folder / "predictions.csv").write_text("\n".join(text[:-1]) + "\n")
    compared = compare_results(results_dir=tmp_path, bootstrap=QUICK)
    assert len(compared.experiments) == 2
    assert compared.pairs == []
    assert any("119 images" in note for note in compared.notes)


def test_label_sets_are_counted_image_by_image(compared, results_dir):
    pair = compared.pairs[0]
    right = []
    for name in (pair.first, pair.second):
        part = read_predictions(read_experiment(results_dir / name))
        right.append(
            [
                set(np.flatnonzero(p >= 0.5)) == set(np.flatnonzero(y))
                for y, p in zip(part.labels, part.probabilities, strict=True)
            ]
        )
    both = list(zip(*right, strict=True))
    assert pair.only_first == both.count((True, False))
    assert pair.only_second == both.count((False, True))
    assert pair.mcnemar_p == exact_mcnemar(pair.only_first, pair.only_second)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 3), (1, 9), (9, 1), (0, 5), (40, 22)])
def test_exact_mcnemar_is_twice_the_binomial_tail(b, c):
    tail = 2 * binom.cdf(min(b, c), b + c, 0.5) if b + c else 1.0
    assert exact_mcnemar(b, c) == pytest.approx(min(1.0, tail))


@pytest.mark.parametrize(
    ("difference", "interval", "expected"),
    [
        (0.02, (0.01, 0.03), "A is significantly better than B in macro-F1: +0.020, 95 % interval "
         "over images +0.010 to +0.030. Images with every label right: 5 by the former alone, 9"),
        (-0.02, (-0.03, -0.0001), "B is significantly better than A in macro-F1: +0.020, 95 % "
         "interval over images +0.0001 to +0.030. Images with every label right: 9 by the former"),
        (-0.008, (-0.021, 0.004), "No significant difference in macro-F1 between B and A: +0.008 "
         "for the former, 95 % interval over images -0.004 to +0.021, which includes 0. Images"),
        (0.008, (0.0, 0.02), "No significant difference in macro-F1 between A and B: +0.008 "
         "for the former, 95 % interval over images 0 to +0.020, which includes 0. Images"),
        (0.0, (-0.01, 0.01), "A and B have the same macro-F1; difference: 95 % interval"),
    ],
)  # fmt: skip
def test_the_verdict_says_better_only_where_the_interval_does(difference, interval, expected):
    pair = Pair("A", "B", "macro_f1", difference, interval, 0.95, 5, 9, 0.42)
    assert pair.sentence().startswith(expected)
    assert ("better" in pair.sentence()) == pair.distinguishable
    assert pair.sentence().endswith("(exact McNemar p = 0.42, not significant).")


def with_group_column(folder, groups):
    """Write the groups, a number per line, into its predictions.csv."""
    file = folder / "predictions.csv"
    header, *rows = file.read_text().splitlines()
    numbered = [f"{row},{group}" for row, group in zip(rows, groups, strict=True)]
    file.write_text("\n".join([f"{header},group", *numbered]) + "\n")


@pytest.fixture
def two_experiments(tmp_path):
    folders = [write_experiment(tmp_path, name=n, quality=q) for n, q in (("a", 2.5), ("b", 1.5))]
    rows = (folders[0] / "predictions.csv").read_text().count("\n") - 1
    return folders, np.arange(rows) // 3


def paired(folders):
    (pair,) = compare_results(folders, bootstrap=QUICK).pairs
    return pair


def test_groups_of_near_duplicates_are_resampled_and_counted(two_experiments):
    folders, groups = two_experiments
    by_image = paired(folders)
    assert (by_image.unit, by_image.num_units) == ("images", 120)
    with_group_column(folders[0], groups)  # the other is of an older version
    by_group = paired(folders)
    assert by_group.unit == "groups"
    assert by_group.num_units == 40
    assert by_group.difference == by_image.difference
    assert by_group.interval != by_image.interval
    discordant = by_group.only_first + by_group.only_second
    assert 0 < discordant < by_image.only_first + by_image.only_second
    sentence = by_group.sentence()
    assert "95 % interval over 40 groups of near-duplicates" in sentence
    assert f"Groups with more images right: {by_group.only_first}" in sentence


def test_groups_of_one_image_each_change_no_figure(two_experiments):
    folders, groups = two_experiments
    before = paired(folders)
    for folder in folders:
        with_group_column(folder, np.arange(len(groups))[::-1])
    assert paired(folders) == before


def test_a_group_that_is_no_number_is_named(two_experiments):
    folders, groups = two_experiments
    with_group_column(folders[0], ["x"] * len(groups))
    (note,) = compare_results(folders, bootstrap=QUICK).notes
    assert "predictions.csv line" in note
    assert "group 'x'; expected a whole number" in note


def test_the_verdict_says_whether_label_sets_differ_significantly():
    def end(p):
        pair = Pair("A", "B", "macro_f1", 0.1, (-0.1, 0.2), 0.95, 5, 9, p, labels=("a", "b"))
        assert "between a and b" in pair.sentence()
        return pair.sentence().partition("McNemar ")[2]

    assert end(6e-5) == "p < 0.001, significant)."
    assert end(0.04) == "p = 0.04, significant)."
    assert end(0.05) == "p = 0.05, not significant)."


def test_formats_carry_the_figures(compared):
    rows = list(csv.DictReader(io.StringIO(as_text(compared, "csv"))))
    assert [row["experiment"] for row in rows] == [one.name for one in compared.experiments]
    low, value, high = (float(rows[0][f"macro_f1{end}"]) for end in ("_low", "", "_high"))
    assert low <= value <= high
    assert value == compared.experiments[0].results["test"]["macro"]["f1"]
    content = json.loads(as_text(compared, "json"))
    assert content["experiments"][0]["macro_f1"] == value
    assert content["pairs"][0]["verdict"] == compared.pairs[0].sentence()
    assert len(content["problems"]) == 2
    table, markdown = as_text(compared, "table"), as_text(compared, "markdown")
    for text in (table, markdown):
        assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in text
        for pair in compared.pairs:
            assert pair.sentence() in html.unescape(" ".join(text.split()))
        assert "cut" in text
    title, _, *lines = markdown.splitlines()
    assert title == "Test set A, 120 images:"
    assert lines[0] == "| rank | experiment | macro-F1 | macro AP | what differs |"
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")


def test_a_metric_as_column_stands_for_that_of_each_class(results_dir):
    compared = compare_results(results_dir=results_dir, bootstrap=QUICK)
    text = as_text(compared, "markdown", ["average_precision"])
    tables = [[row.split(" | ") for row in block.splitlines()] for block in text.split("\n\n")]
    header, _, first, *_ = next(table for table in tables if "defect_1 AP" in table[0])
    assert header == ["| rank", "defect_1 AP", "defect_2 AP", "defect_3 AP", "defect_4 AP |"]
    best = compared.experiments[0].results["test"]
    for name, cell in zip(best["per_class"], first[1:], strict=True):
        assert cell.startswith(f"{best['per_class'][name]['average_precision']:.3f} [")
    assert "defect_1_average_precision" in compared.seeds[0].figures


def test_columns_are_added_to_the_headline(compared):
    headline = as_text(compared, "table").splitlines()[2]
    assert re.split(r"\s{2,}", headline) == [
        "rank", "experiment", "macro-F1", "macro AP", "what differs",
    ]  # fmt: skip
    text = as_text(compared, "table", ["macro_auroc", "subset_accuracy", "defect_2_recall"])
    for title in ("macro AUROC", "subset_accuracy", "defect_2 recall"):
        assert title not in headline
        assert title in text
    everything = as_text(compared, "markdown", ["all"])
    assert "any_defect_auroc" in everything
    assert "defect_4 recall" in everything
    assert "mean Dice" not in everything
    with pytest.raises(InputError, match=r"columns=f2: unknown figure \(did you mean 'f1'"):
        as_text(compared, "table", ["f2"])


@pytest.mark.slow
def test_localisation_is_shown_and_ranked_but_not_paired(tmp_path):
    for seed, dice in ((1, 0.7), (2, 0.9), (3, None)):
        folder = write_experiment(tmp_path, name=f"seed_{seed}", seed=seed)
        results = read_results(folder)
        if dice:
            macro = {"dice": dice, "pointing_accuracy": dice / 2}
            results["test"]["localization"] = {"macro": macro, "per_class": {}}
        write_results(folder, results)
    compared = compare_results(results_dir=tmp_path, sort="mean_dice", bootstrap=QUICK)
    assert [one.name for one in compared.experiments] == ["seed_2", "seed_1", "seed_3"]
    assert compared.seeds[0].figures["pointing_accuracy"]["mean"] == pytest.approx(0.4)
    columns = ["mean_dice", "pointing_accuracy"]
    table = " ".join(as_text(compared, "table", columns).split())
    assert "mean Dice" in table
    assert "peak inside the mask" in table
    assert "mean_dice cannot be paired: predictions.csv does not hold it" in table


def test_nothing_to_compare_is_said(tmp_path):
    compared = compare_results(results_dir=tmp_path)
    assert "No experiment to compare" in as_text(compared, "table")
    assert as_text(compared, "csv").strip() == "experiment"
    assert json.loads(as_text(compared, "json"))["experiments"] == []


def test_results_are_compared_as_json_as_well_as_by_path(tmp_path):
    for seed in (1, 2):
        path = write_experiment(tmp_path, name=f"focal_{seed}", seed=seed)
        content = read_results(path)
        content["experiment"]["name"] = path.name
        content["config"]["experiment"]["results_dir"] = str(tmp_path)
        write_results(path, content)
    loaded = load_json(tmp_path / "*/results.json")
    assert [each["experiment"]["name"] for each in loaded] == ["focal_1", "focal_2"]
    by_json = compare_results(loaded, bootstrap=QUICK)
    by_path = compare_results(results_dir=tmp_path, bootstrap=QUICK)
    assert as_text(by_json, "json") == as_text(by_path, "json")
    mixed = compare_results([loaded[0], tmp_path / "focal_2"], bootstrap=QUICK)
    assert len(mixed.pairs) == 1
    # Without the other files there is no comparison image by image, which a note says.
    shutil.rmtree(tmp_path / "focal_1")
    alone = compare_results(loaded, bootstrap=QUICK)
    assert len(alone.experiments) == 2
    assert any("not compared" in note and "focal_1" in note for note in alone.notes)


def test_json_that_cannot_be_used_is_refused_or_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_json(tmp_path / "*/results.json")
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(InputError, match="no JSON object"):
        load_json(tmp_path / "results.json")
    assert "no schema_version" in compare_results([{}]).problems[0]


def test_a_class_may_have_the_name_of_an_average(tmp_path):
    names = ("macro", "micro", "any_defect", "clean")
    for seed in (1, 2):
        write_experiment(tmp_path, name=f"steel_{seed}", seed=seed, class_names=names)
    compared = compare_results(results_dir=tmp_path, bootstrap=QUICK)
    test = compared.experiments[0].results["test"]
    rows = list(csv.DictReader(io.StringIO(as_text(compared, "csv"))))
    assert float(rows[0]["macro_f1"]) == pytest.approx(test["macro"]["f1"])
    assert float(rows[0]["per_class.macro.f1"]) == pytest.approx(test["per_class"]["macro"]["f1"])
    by_class = compare_results(results_dir=tmp_path, sort="per_class.micro.recall")
    assert by_class.key == ("per_class", "micro", "recall")
    table = summary_table(test)
    assert [line.split("  ")[0] for line in table.splitlines()[1:]] == [
        "macro (class)", "micro (class)", "any_defect (class)", "clean (class)", "macro", "micro",
    ]  # fmt: skip
