"""Pretrainings in the comparison, the report and the model card."""

import csv
import io
import json
import sys

import pytest
import torch
from analysis.pretraining_results import epoch, write_pretraining
from analysis.test_report import read
from experiment_factory import read_results, write_experiment, write_results
from safetensors.torch import save_file

import evaluate
import explain
import export
import predict
from core.analysis.comparison import compare_results
from core.analysis.comparison_formats import as_text
from core.analysis.model_card import write_model_card
from core.analysis.report import write_report
from core.command.mistakes import run_command
from core.metrics.intervals import Bootstrap
from core.running.experiment_record import describe_initial_weights


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    """A pretraining, a training that started from its encoder, and one from random weights."""
    folder = tmp_path_factory.mktemp("results")
    write_pretraining(folder)
    weights = str(folder / "pretraining_a" / "encoder.safetensors")
    write_experiment(folder, name="from_encoder", images=60, config={"model.weights": weights})
    write_experiment(folder, name="from_scratch", images=60, config={"model.weights": None})
    return folder


@pytest.fixture(scope="module")
def comparison(results_dir):
    return compare_results(results_dir=results_dir, bootstrap=Bootstrap(resamples=30))


def test_trainings_are_ranked_and_pretrainings_stand_apart(comparison):
    assert {one.name for one in comparison.experiments} == {"from_encoder", "from_scratch"}
    text = as_text(comparison, "table", width=160)
    ranked, _, rest = text.partition("Pretrainings, not ranked:")
    assert "starts from" in ranked.splitlines()[0]
    (row,) = [line for line in ranked.splitlines() if "from_encoder" in line]
    assert "pretraining_a" in row
    (row,) = [line for line in ranked.splitlines() if "from_scratch" in line]
    assert "random" in row
    (row,) = [line for line in rest.splitlines() if line.startswith("pretraining_a ")]
    assert row.split() == ["pretraining_a", "vicreg", "139", "3", "13.0", "0.456", "no"]
    assert not comparison.problems


def test_csv_and_json_tell_the_kinds_apart(comparison):
    rows = list(csv.DictReader(io.StringIO(as_text(comparison, "csv"))))
    assert [row["kind"] for row in rows] == ["training", "training", "pretraining"]
    assert rows[2]["rank"] == rows[2]["macro_f1"] == ""
    assert rows[2]["method"] == "vicreg"
    assert float(rows[2]["probe_average_precision"]) == 0.456
    content = json.loads(as_text(comparison, "json"))
    assert {row["initial_weights"] for row in content["experiments"]} == {"pretraining_a", "random"}
    assert [row["experiment"] for row in content["pretrainings"]] == ["pretraining_a"]


def test_a_filter_may_name_a_key_of_pretrainings_alone(results_dir):
    found = compare_results(results_dir=results_dir, filters=["method.name=vicreg"])
    assert [one.name for one in found.pretrainings] == ["pretraining_a"]
    assert not found.experiments
    assert as_text(found, "table").startswith("Pretrainings, not ranked:")


def test_without_pretrainings_the_comparison_is_as_before(tmp_path):
    write_experiment(tmp_path, name="alone", images=60)
    found = compare_results(results_dir=tmp_path)
    assert "starts from" not in as_text(found, "table")
    assert "kind" not in as_text(found, "csv").splitlines()[0].split(",")


def test_the_report_of_a_pretraining(results_dir):
    page = read(write_report(results_dir / "pretraining_a"))
    text = "".join(page.text)
    assert page.ids == ["training", "views", "use", "settings"]
    assert "resnet10_slim by vicreg, seed 7, from 139 images of strips <b> (training)" in text
    assert "collapsed in 1 of 3 epochs, the last of them epoch 1" in text
    assert "0.456" in text
    assert any(address.startswith("data:image/jpeg") for address in page.addresses)
    for title in ("Loss", "Effective rank", "Standard deviation", "Retrieval", "Linear probe"):
        assert title in text


def test_the_report_says_what_collapsed_and_what_is_missing(tmp_path):
    history = [epoch(1, None, collapsed=True)]
    figures = {k: v for k, v in history[0]["validation"].items() if not k.startswith("probe")}
    folder = write_pretraining(
        tmp_path, history=history, test=figures, collapsed=True, best_epoch=1, tested_epoch=1
    )
    (folder / "view_pairs.jpg").unlink()
    text = "".join(read(write_report(folder)).text)
    assert "The embeddings have collapsed" in text
    assert "There is no picture of the strips" in text
    assert "Linear probe" not in text
    assert "There was no probe" in text


@pytest.mark.parametrize("collapsed", [False, True])
def test_the_report_of_painted_defects(collapsed, tmp_path, capfd):
    figures = {
        "loss": 0.5,
        "pixel_average_precision": 0.271,
        "strip_average_precision": 0.912,
        "painted_share": 0.013,
        "painted_strip_share": 0.8125,
        "collapsed": collapsed,
    }
    history = [{"epoch": 1, "train": {"loss": 0.6}, "validation": figures}]
    folder = write_pretraining(
        tmp_path, history=history, test=figures, collapsed=collapsed, best_epoch=1, tested_epoch=1,
        config={"model": {"name": "resnet10_slim"}, "method": {"keep_head": True}},
    )  # fmt: skip
    (folder / "view_pairs.jpg").rename(folder / "painted_strips.jpg")
    page = read(write_report(folder))
    text = "".join(page.text)
    assert "Painted strips" in text
    assert "0.271" in text
    assert "0.912" in text
    assert "by chance 0.013" in text
    assert "by chance 0.812" in text
    assert ("no better than by chance" in text) == collapsed
    assert "model.mask_head=true model.weights=" in text
    for foreign in ("Effective rank", "embeddings", "View pairs"):
        assert foreign not in text
    assert any(address.startswith("data:image/jpeg") for address in page.addresses)
    assert not capfd.readouterr().err


def test_the_table_has_the_chance_of_painted_strips_beside_their_precision(tmp_path):
    write_pretraining(tmp_path)
    figures = {"strip_average_precision": 0.912, "painted_strip_share": 0.75}
    write_pretraining(tmp_path, "painted", test=figures)
    text = as_text(compare_results(results_dir=tmp_path), "table", width=160)
    heads, _, painted, plain = text.strip().splitlines()[-4:]
    assert heads.split("  ")[-3:] == ["strip AP", "chance", "collapsed"]
    assert painted.split()[-3:] == ["0.912", "0.750", "no"]
    assert plain.split()[-3:] == ["-", "-", "no"]


def test_the_report_of_embeddings_that_are_all_the_same_or_not_watched(tmp_path):
    history = [epoch(1, None)]
    history[0]["validation"] |= {"standard_deviation": 0.0, "effective_rank": 0.0}
    folder = write_pretraining(tmp_path, history=history, test={"loss": 1.0}, collapsed=None)
    text = "".join(read(write_report(folder)).text)
    assert "No embeddings were watched" in text


def test_the_card_of_a_training_names_what_pretrained_its_weights(tmp_path):
    file = tmp_path / "pretraining_b" / "encoder.safetensors"
    file.parent.mkdir()
    card = {"method": "moco", "epochs": "30", "learned_from": "1500 images of plain (all)"}
    save_file({"weight": torch.zeros(1)}, file, card)
    weights = describe_initial_weights(torch.nn.Identity(), {"weights": str(file)})
    assert weights["source"] == "pretraining_b/encoder.safetensors"
    folder = write_experiment(tmp_path, images=60)
    results = read_results(folder)
    results["model"]["initial_weights"] = weights
    write_results(folder, results)
    text = write_model_card(folder).read_text()
    assert "initialised from pretraining_b/encoder.safetensors, pretrained" in text
    assert "pretrained by moco, 30 epochs, 1500 images of plain (all)" in text


@pytest.mark.parametrize(
    ("command", "words"),
    [(predict, ["{image}"]), (evaluate, []), (explain, []), (export, ["--format", "onnx"])],
    ids=["predict", "evaluate", "explain", "export"],
)
def test_what_needs_classes_refuses_a_pretraining_in_one_line(
    command, words, results_dir, monkeypatch, capsys
):
    folder = results_dir / "pretraining_a"
    words = [word.format(image=folder / "view_pairs.jpg") for word in words]
    monkeypatch.setattr(sys, "argv", ["command", str(folder), *words])
    with pytest.raises(SystemExit) as ended:
        run_command(command.main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a pretraining, which has an encoder and no classes" in line
    assert "model.weights=" in line
