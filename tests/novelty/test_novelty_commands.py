"""Fitting a detector, scoring strips with it, and what other commands make of it."""

import csv
import json
import runpy
import shutil
import sys

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from hydra.core.global_hydra import GlobalHydra
from novelty_runs import (
    BANK,
    SIZE,
    composed,
    fitted,
    write_folder,
    write_labelled,
    write_strip,
)
from safetensors.numpy import load_file, save_file

from core.analysis.comparison import compare_results
from core.errors import EXIT_CODE, InputError
from core.experiments.finding import find_experiment
from core.experiments.reading import read_any, read_experiment
from core.experiments.schema import NOVELTY
from core.novelty.detector_file import DETECTOR_FILE, DETECTOR_VERSION, FittedDetector
from core.novelty.detectors import get_registry
from core.novelty.scoring import HEADER
from core.predicting.stream import read_strip


def run(monkeypatch, script, *words):
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", [f"code/{script}.py", *map(str, words)])
    try:
        runpy.run_path(str(REPOSITORY / "code" / f"{script}.py"), run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    finally:
        GlobalHydra.instance().clear()
    return 0


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("labelled") / "set", 60)


@pytest.fixture(scope="module")
def experiment(labelled, tmp_path_factory):
    """The folder of a bank that was fitted on the clean strips of a labelled data set."""
    folder = tmp_path_factory.mktemp("results")
    fitted(folder, f"data.root={labelled}", *BANK)
    (path,) = folder.iterdir()
    return path


def test_a_labelled_set_is_learned_from_its_clean_strips_and_tested_on_all(experiment, labelled):
    results = read_any(experiment).results
    defective = {f"strip_{number:03d}.png" for number in range(0, 60, 3)}
    parts = {}
    for row in rows_of(experiment / "strips.csv"):
        parts.setdefault(row["part"], set()).add(row["image"].rpartition("/")[2])
    assert not (parts["fit"] | parts["threshold"]) & defective
    assert parts["test"] & defective
    assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
    assert results["data"]["num_fit"] == len(parts["fit"])
    assert results["threshold"]["num_strips"] == len(parts["threshold"])
    assert results["test"]["any_defect"]["auroc"] > 0.9
    assert results["test"]["per_class"].keys() == {"spot"}


def test_the_baseline_stands_beside_the_detector(experiment):
    results = read_any(experiment).results
    assert results["baseline"]["test"].keys() == results["test"].keys()
    assert "high_pass" in (experiment / "DETECTOR_CARD.md").read_text()


def test_a_folder_without_labels_is_held_out_by_groups(tmp_path):
    folder = write_folder(tmp_path / "strips", range(30))
    for number in range(5):  # copies under other names
        shutil.copy(folder / f"strip_{number:03d}.png", folder / f"copy_{number}.png")
    fitted(tmp_path / "results", f"data.unlabelled={folder}", "detector.name=high_pass")
    (path,) = (tmp_path / "results").iterdir()
    part = {r["image"].rpartition("/")[2]: r["part"] for r in rows_of(path / "strips.csv")}
    assert set(part.values()) == {"fit", "threshold", "test"}
    for number in range(5):
        assert part[f"copy_{number}.png"] == part[f"strip_{number:03d}.png"]
    results = json.loads((path / "results.json").read_text())
    assert results["kind"] == "novelty"
    assert "any_defect" not in results["test"]
    assert results["test"]["false_alarms"]["num_strips"] == results["data"]["num_test"]


def test_the_same_seed_fits_the_same_detector(experiment, labelled, tmp_path):
    fitted(tmp_path, f"data.root={labelled}", *BANK)
    (again,) = tmp_path.iterdir()
    first, second = (load_file(path / DETECTOR_FILE) for path in (experiment, again))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_score_writes_score_decision_and_place_with_pictures(experiment, tmp_path, monkeypatch):
    write_folder(tmp_path / "new", range(200, 205))
    write_strip(tmp_path / "new" / "spot.png", 300, with_spot=True)
    (tmp_path / "new" / "damaged.png").write_bytes(b"no image")
    output = tmp_path / "scores"
    assert run(monkeypatch, "novelty", "score", experiment, tmp_path / "new", "--output", output)
    rows = {row["image"].rpartition("/")[2]: row for row in rows_of(output / "novelty.csv")}
    assert list(rows["spot.png"]) == list(HEADER)
    spot = rows["spot.png"]
    assert spot["alarm"] == "1"
    assert int(spot["x"]) <= 64 <= int(spot["x"]) + int(spot["width"])
    assert int(spot["y"]) <= 14 <= int(spot["y"]) + int(spot["height"])
    assert "not an image" in rows["damaged.png"]["error"]
    assert rows["damaged.png"]["score"] == ""
    scored = [float(row["score"]) for row in rows.values() if row["score"]]
    assert float(spot["score"]) == max(scored)
    assert (output / "01_spot.jpg").is_file()
    assert (output / "hottest.jpg").is_file()


def test_a_restored_detector_scores_as_the_fitted_one(experiment, labelled):
    """The largest score of the strips that set the threshold is the threshold itself."""
    detector = FittedDetector(experiment)
    paths = [r["image"] for r in rows_of(experiment / "strips.csv") if r["part"] == "threshold"]
    images = np.stack([read_strip(path, detector) for path in paths])
    assert max(score for score, _ in detector(images)) == pytest.approx(detector.threshold)


def test_predictions_take_the_columns_along(experiment, trained, tmp_path, monkeypatch):
    strip = tmp_path / "strip.png"
    cv2.imwrite(str(strip), np.full((32, 64), 90, np.uint8))
    write_folder(tmp_path / "clean", range(20))
    fitted(
        tmp_path / "results", f"data.unlabelled={tmp_path / 'clean'}", "data.resize=[32,64]",
        "detector.name=high_pass",
    )  # fmt: skip
    (detector,) = (tmp_path / "results").iterdir()
    for name in ("rows.csv", "rows.jsonl"):
        words = [trained, strip, "--novelty", detector, "--output", tmp_path / name]
        assert run(monkeypatch, "predict", *words) == 0
        assert run(monkeypatch, "predict", *words) == 0  # its own file is replaced
    (row,) = rows_of(tmp_path / "rows.csv")
    assert list(row)[-3:] == ["novelty_score", "novelty_alarm", "error"]
    assert float(row["novelty_score"]) == pytest.approx(0, abs=1e-6)
    assert row["novelty_alarm"] == "0"
    assert row["error"] == ""
    assert json.loads((tmp_path / "rows.jsonl").read_text())["novelty_alarm"] == 0


def test_an_image_that_the_detector_cannot_read_keeps_its_prediction(
    experiment, trained, tmp_path, monkeypatch
):
    cv2.imwrite(str(tmp_path / "strip.png"), np.full((32, 64), 90, np.uint8))
    words = [trained, tmp_path / "strip.png", "--novelty", experiment]
    assert run(monkeypatch, "predict", *words, "--output", tmp_path / "rows.csv") == 0
    (row,) = rows_of(tmp_path / "rows.csv")
    assert row["novelty_score"] == ""
    assert row["error"].startswith("no novelty score: ")
    assert "32x64" in row["error"]


def test_comparing_names_it_and_ranks_no_detector(experiment, trained):
    found = compare_results([trained, experiment])
    assert [one.path for one in found.experiments] == [trained]
    (note,) = [note for note in found.notes if experiment.name in note]
    assert "memory_bank" in note
    assert "<h2>False alarms</h2>" in (experiment / "report.html").read_text()


def test_it_is_no_training_and_the_latest_of_its_kind_alone(experiment):
    with pytest.raises(InputError, match="detector of novelty"):
        read_experiment(experiment)
    with pytest.raises(InputError, match="no completed experiment"):
        find_experiment("latest", experiment.parent)
    assert find_experiment("latest", experiment.parent, NOVELTY) == experiment


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["detector.name=memory_bnk"], "did you mean 'memory_bank'"),
        (["scoring.largst=3"], "did you mean 'largest'"),
        (["detector.num_patchs=3"], "did you mean 'num_patches'"),
        (["detector.num_patches=0"], "num_patches=0"),
        (["scoring.false_alarms_per_1000=0"], "false_alarms_per_1000=0"),
        (["data.unlabelled=nowhere"], "no such file or folder"),
        (["detector.name=high_pass", "detector.num_patches=3"], "only of memory_bank"),
        (["data.root=x", "data.threshold_share=0.4"], "no effect without data.unlabelled"),
        (["data.root=x", "data.allow_all=true"], "no effect without data.unlabelled"),
        (["detector.name=autoencoder", "detector.reconstruction_weight=0"], "greater than 0"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(overrides, expected, tmp_path, monkeypatch, capsys):
    words = [*overrides, f"experiment.results_dir={tmp_path / 'results'}"]
    assert run(monkeypatch, "novelty", "fit", *words) == EXIT_CODE
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("memory_bank", {"backbone_options": {"pretrained": True}}, "pretrained: is detector.pre"),
        ("gaussian", {"backbone_options": {"weights": "x"}}, "weights: is detector.weights: give"),
        (
            "autoencoder", {"bottleneck": "rvq", "bottleneck_options": {"channels": 4}},
            "channels: is detector.latent_channels: give that",
        ),
    ],
)  # fmt: skip
def test_an_option_that_has_a_key_of_its_own_is_refused(name, options, expected):
    with pytest.raises(InputError, match=expected):
        get_registry().instantiate(name, **options)


def test_the_short_form_of_the_rate_is_taken():
    config = composed("data.unlabelled=x", "detector.false_alarms_per_1000=7")
    assert config.scoring.false_alarms_per_1000 == 7


def test_a_set_without_clean_strips_is_refused(tmp_path):
    root = write_labelled(tmp_path / "set", 30)
    lines = [f"strip_{number:03d}.png,1" for number in range(30)]
    (root / "labels.csv").write_text("\n".join(["ImageId,spot", *lines]) + "\n")
    with pytest.raises(InputError, match="no clean strips in the training part"):
        fitted(tmp_path / "results", f"data.root={root}", *BANK)
    assert not (tmp_path / "results").exists()


def test_images_of_a_labelled_set_are_not_learned_from_by_accident(labelled, tmp_path):
    with pytest.raises(InputError, match=r"give data\.root="):
        fitted(tmp_path, f"data.unlabelled={labelled / 'images'}", *BANK)


def lighter(source, file):
    """The same strip, photographed a grey value lighter."""
    image = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(file), cv2.add(image, 1))


def test_near_duplicates_of_the_test_part_are_not_learned_from(labelled, experiment, tmp_path):
    tested = [r["image"] for r in rows_of(experiment / "strips.csv") if r["part"] == "test"]
    folder = write_folder(tmp_path / "strips", range(400, 440))
    lighter(tested[0], folder / "again.png")
    words = [f"data.unlabelled={folder}", f"data.root={labelled}", "detector.name=high_pass"]
    with pytest.raises(InputError, match=r"again\.png shows the same strip as strip_\d+\.png"):
        fitted(tmp_path / "results", *words)
    assert not (tmp_path / "results").exists()
    (folder / "again.png").unlink()
    results = fitted(tmp_path / "results", *words)
    # Nothing is held out for a test, since the labelled part is that.
    assert results["data"]["num_fit"] + results["threshold"]["num_strips"] == 40
    assert results["data"]["num_test"] == len(tested)


@pytest.mark.slow
def test_too_few_strips_to_tell_are_said_to_be(tmp_path, caplog):
    folder = write_folder(tmp_path / "strips", range(25))
    results = fitted(tmp_path / "results", f"data.unlabelled={folder}", *BANK)
    assert not results["seen"]["is_enough"]
    assert "too few to tell" in caplog.text


def test_a_place_is_that_in_the_file_also_where_it_is_resized(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "strips", range(30))
    twice = [2 * length for length in SIZE]
    fitted(
        tmp_path / "results", f"data.unlabelled={folder}", f"data.resize={twice}".replace(" ", ""),
        "detector.name=high_pass",
    )  # fmt: skip
    (path,) = (tmp_path / "results").iterdir()
    write_strip(tmp_path / "spot.png", 300, with_spot=True)
    words = ["score", path, tmp_path / "spot.png", "--output", tmp_path / "scores"]
    assert run(monkeypatch, "novelty", *words) == 0
    (row,) = rows_of(tmp_path / "scores" / "novelty.csv")
    x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
    assert x <= 64 <= x + width <= SIZE[1]
    assert y <= 14 <= y + height <= SIZE[0]
    assert width < 40


def test_nothing_is_made_for_an_experiment_that_is_not_there(tmp_path, monkeypatch):
    words = ["score", tmp_path / "nowhere", tmp_path, "--output", tmp_path / "out"]
    assert run(monkeypatch, "novelty", *words) == EXIT_CODE
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "word",
    ["scoring.smoothing=1", "scoring.largest=50", "scoring.false_alarms_per_1000=300"],
)
def test_what_scores_also_sets_the_threshold(word, labelled, tmp_path):
    results = fitted(tmp_path, f"data.root={labelled}", "detector.name=high_pass", word)
    (path,) = tmp_path.iterdir()
    detector = FittedDetector(path)
    clean = [r["image"] for r in rows_of(path / "strips.csv") if r["part"] == "threshold"]
    scores = sorted(s for s, _ in detector(np.stack([read_strip(p, detector) for p in clean])))
    rate = results["threshold"]["chosen_per_1000"] / 1000
    assert rate == results["config"]["scoring"]["false_alarms_per_1000"] / 1000
    place = max(1, int(rate * (len(clean) + 1)))
    assert detector.threshold == pytest.approx(scores[-place])


def test_strips_of_another_size_are_refused(tmp_path):
    write_folder(tmp_path / "strips", range(8))
    wrong = f"data.image_size=[{SIZE[0] * 2},{SIZE[1]}]"
    with pytest.raises(InputError, match="expected 64x96"):
        fitted(tmp_path / "results", f"data.unlabelled={tmp_path / 'strips'}", wrong)


def test_images_without_labels_are_not_left_out(tmp_path):
    folder = write_folder(tmp_path / "strips", range(9))
    with pytest.raises(InputError, match=r"data\.on_bad_image=skip: has no effect"):
        fitted(tmp_path / "results", f"data.unlabelled={folder}", "data.on_bad_image=skip")


OF_THIS_VERSION = {"version": DETECTOR_VERSION}


def damaged(experiment, tmp_path):
    return shutil.copytree(experiment, tmp_path / "copy")


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x08\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_refused(content, experiment, tmp_path):
    copy = damaged(experiment, tmp_path)
    (copy / DETECTOR_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"detector\.safetensors"):
        FittedDetector(copy)


def test_an_empty_bank_is_refused_by_the_first_image(experiment, tmp_path):
    copy = damaged(experiment, tmp_path)
    state = load_file(copy / DETECTOR_FILE)
    save_file({**state, "bank": state["bank"][:0]}, copy / DETECTOR_FILE, metadata=OF_THIS_VERSION)
    with pytest.raises(InputError, match="the bank is empty"):
        FittedDetector(copy)(np.zeros((1, 1, *SIZE), np.uint8))


def test_a_score_that_is_not_finite_is_refused(experiment, tmp_path):
    copy = damaged(experiment, tmp_path)
    state = load_file(copy / DETECTOR_FILE)
    bank = state["bank"] * float("nan")
    save_file({**state, "bank": bank}, copy / DETECTOR_FILE, metadata=OF_THIS_VERSION)
    with pytest.raises(InputError, match="not finite"):
        FittedDetector(copy)(np.zeros((1, 1, *SIZE), np.uint8))


@pytest.mark.parametrize("metadata", [None, {"version": "0"}])
def test_a_file_of_another_version_is_refused(metadata, experiment, tmp_path):
    """Its tensors fit, but scores may be others."""
    copy = damaged(experiment, tmp_path)
    save_file(load_file(copy / DETECTOR_FILE), copy / DETECTOR_FILE, metadata=metadata)
    with pytest.raises(InputError, match=r"is of version .* fit the detector again"):
        FittedDetector(copy)


@pytest.mark.parametrize("name", ["gaussians", "no_longer_there"])
def test_a_detector_of_another_version_is_refused(name, experiment, tmp_path):
    copy = damaged(experiment, tmp_path)
    results = json.loads((copy / "results.json").read_text())
    results["detector"]["type"] = name
    (copy / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=f"does not fit detector {name} of this version"):
        FittedDetector(copy)


def test_a_bank_that_has_seen_too_few_strips_says_so(tmp_path, caplog):
    folder = write_folder(tmp_path / "strips", range(60))
    words = [f"data.unlabelled={folder}", *BANK, "data.threshold_share=0.45"]
    many = fitted(tmp_path / "a", f"data.unlabelled={folder}", "detector.name=high_pass")
    assert many["seen"]["is_enough"]
    assert "which are too few" not in caplog.text
    few = fitted(tmp_path / "b", *words, "data.held_out_share=0.45", "detector.num_patches=5000")
    assert not few["seen"]["is_enough"]
    assert "Fitted on 6 strips, which are too few" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("file", ["", "encoder.safetensors"])
def test_the_backbone_of_an_experiment_is_taken(file, tmp_path, labelled):
    """Of a pretraining, named by its folder or its file, which may be gone afterwards."""
    from pretraining.pretraining_runs import composed as pretraining

    from core.pretraining.composition import pretrain

    words = [f"data.root={labelled}", f"experiment.results_dir={tmp_path / 'encoder'}"]
    pretrain(pretraining(*words, "data.image_size=[32,96]"))
    (encoder,) = (tmp_path / "encoder").iterdir()
    bank = [f"detector.weights={encoder / file}", "detector.stages=[1,2]", "detector.num_patches=9"]
    fitted(tmp_path / "results", f"data.root={labelled}", *bank)
    learned = load_file(encoder / "encoder.safetensors")
    shutil.rmtree(encoder)
    (path,) = (tmp_path / "results").iterdir()
    state = FittedDetector(path).scored.detector.state_dict()
    for key, value in learned.items():
        assert np.array_equal(state[f"features.model.{key}"].numpy(), value)


def test_the_backbone_of_a_training_is_taken(trained, tmp_path, labelled):
    bank = [f"detector.weights={trained}", "detector.stages=[1,2]", "detector.num_patches=9"]
    results = fitted(tmp_path, f"data.root={labelled}", *bank)
    (path,) = tmp_path.iterdir()
    assert results["detector"]["rebuilt_by"]["weights"] is None
    assert FittedDetector(path).scored.detector.bank.shape[0] == 9


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "image_size", [32]),
        ("data", "bit_depth", 9),
        ("scoring", "smoothing", -1.0),
        ("scoring", "largest", "many"),
    ],
)
def test_values_that_fit_never_writes_are_refused(section, key, value, experiment, tmp_path):
    copy = damaged(experiment, tmp_path)
    results = json.loads((copy / "results.json").read_text())
    owner = results["data"] if section == "data" else results["config"][section]
    owner[key] = value
    (copy / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=key):
        FittedDetector(copy)


def test_the_report_shows_scores_curves_and_the_hottest_strips(experiment):
    rows = rows_of(experiment / "scores.csv")
    assert {row["part"] for row in rows} == {"threshold", "test"}
    assert not any(row["spot"] == "1" for row in rows if row["part"] == "threshold")
    tested = [row for row in rows if row["part"] == "test"]
    hot = max(tested, key=lambda row: float(row["score"]))
    pictures = sorted(path.name for path in (experiment / "hottest").iterdir())
    assert pictures[0] == f"01_{hot['image'].rpartition('/')[2].removesuffix('.png')}.jpg"
    page = (experiment / "report.html").read_text()
    assert page.count("data:image/jpeg") == min(8, len(tested))
    for heading in ("Scores", "Recall and false alarms", "Hottest strips of the test"):
        assert f"<h2>{heading}</h2>" in page
    assert f"AUROC {read_any(experiment).results['test']['any_defect']['auroc']:.3f}" in page
