"""The model card says what results.json says."""

import re

from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results

from core.analysis.model_card import write_model_card
from core.analysis.report import write_report
from core.models.registry import get_registry
from core.running.experiment_record import describe_initial_weights


def card(folder) -> str:
    return write_model_card(folder).read_text()


def test_a_training_leaves_a_card(trained):
    text = (trained / "MODEL_CARD.md").read_text()
    assert text == card(trained)
    for heading in ("Model", "Data", "Figures", "Limits", "Environment", "Licences"):
        assert f"\n## {heading}\n" in text
    assert "procedural strips: says nothing about real steel" in text
    assert "trained from scratch" in text
    assert "None" not in text


def test_figures_and_thresholds_are_those_of_the_results(tmp_path):
    folder = write_experiment(tmp_path, calibration="platt")
    results, text = read_results(folder), card(folder)
    for name in CLASS_NAMES:
        row, bounds = results["test"]["per_class"][name], results["test"]["intervals"]
        low, high = bounds["per_class"][name]["f1"]
        cells = f"| {name} | {row['support']} |"
        (line,) = [x for x in text.partition("At the thr")[0].splitlines() if x.startswith(cells)]
        assert f" {row['f1']:.3f} [{low:.3f}, {high:.3f}] " in line
        scaling = results["calibration"]["scaling"][name]
        numbers = (results["thresholds"][name], scaling["slope"], scaling["intercept"])
        support = results["validation"]["per_class"][name]["support"]
        cells = [name, str(support), *(f"{number:.4f}" for number in numbers)]
        assert f"| {' | '.join(cells)} |" in text
    assert "Not calibrated" not in text
    assert "apply to the probabilities before calibration" in text
    results["calibration"]["method"] = "auto"
    write_results(folder, results)
    assert "It undoes how the loss moves probabilities, and needs no data." in card(folder)


def test_limits_follow_from_the_facts(tmp_path):
    folder = write_experiment(tmp_path)
    results = read_results(folder)
    assert "Not calibrated" in card(folder)
    assert "misses more than half" not in card(folder)
    results["test_at_thresholds"]["per_class"]["defect_2"]["recall"] = 0.3
    results["test"]["per_class"]["defect_1"]["support"] = 29
    results["test"]["per_class"]["defect_3"]["support"] = 30
    results["test"]["subset_accuracy"] = 0.99
    results["config"]["data"] = {"group_duplicates": False, "label_noise": 0.05}
    write_results(folder, results)
    text = card(folder)
    assert "defect_2: misses more than half" in text
    assert "defect_1: 29 test images" in text
    assert "defect_3: 30 test images" not in text
    assert "One label of 5 % of the images was flipped" in text
    assert "Near-duplicates were not looked for" in text
    assert "Nearly every label set is right" in text


def test_licence_of_the_weights(tmp_path):
    model = get_registry().instantiate("convnext_atto", pretrained=False)
    weights = describe_initial_weights(model, {"pretrained": True})
    assert weights == {"source": "timm convnext_atto.d2_in1k", "licence": "apache-2.0"}
    assert describe_initial_weights(model, {"pretrained": False})["source"] is None
    given = {"pretrained": True, "weights": "/somewhere/own.pt"}
    assert describe_initial_weights(model, given)["source"] == "own.pt"
    folder = write_experiment(tmp_path)
    results = read_results(folder)
    results["model"]["initial_weights"] = weights
    write_results(folder, results)
    assert "initialised from timm convnext_atto.d2_in1k; licence: apache-2.0." in card(folder)


def test_nothing_in_the_results_is_markup(tmp_path):
    evil = "<script>alert(1)</script> [here](http://evil) ![x](http://evil/x.png) `code` |\n# head"
    folder = write_experiment(tmp_path)
    results = read_results(folder)
    results["experiment"] |= {"created_at": evil, "command": evil}
    results["config"]["model"]["name"] = results["config"]["loss"]["type"] = evil
    results["config"]["data"]["source"] = results["data"]["source"] = evil
    results["data"]["fingerprint"] = results["data"]["split"]["strategy"] = evil
    results["environment"]["packages"]["torch"] = results["environment"]["python"] = evil
    results["environment"]["git"]["commit"] = results["threshold_criterion"] = evil
    results["model"]["initial_weights"] = {"source": evil, "licence": evil}
    write_results(folder, results)
    text = card(folder)
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text.replace("\\`", ""))
    assert "script" in outside_code
    assert "<script" not in outside_code
    assert "](http" not in outside_code.replace("\\](", "")
    assert "\n# head" not in text
    assert text.count("\n## ") == card(write_experiment(tmp_path, name="plain")).count("\n## ")


def test_a_precision_that_no_threshold_reaches_is_said_in_report_and_card(tmp_path):
    folder = write_experiment(tmp_path, images=60)
    results = read_results(folder)
    assert all(each["unmet"] is None for each in results["threshold_basis"].values())
    assert "the most precise" not in card(folder) + write_report(folder).read_text()
    reason = "no threshold reaches precision 0.99 on the validation part (best 0.111)"
    results["threshold_criterion"] = "recall_at_precision"
    results["threshold_basis"]["defect_2"]["unmet"] = reason
    write_results(folder, results)
    assert (
        f"defect_2: {reason}; the most precise one was taken." in write_report(folder).read_text()
    )
    limits = card(folder).partition("## Limits")[2].partition("\n## ")[0]
    assert f"- defect_2: {reason}; its threshold is the most precise one." in limits


def test_a_threshold_that_few_images_chose_says_so_in_report_and_card(tmp_path):
    folder = write_experiment(tmp_path, images=50)  # 3 of the rarest class
    basis = read_results(folder)["threshold_basis"]
    stayed = [name for name, each in basis.items() if each["kept"]]
    assert 0 < len(stayed) < len(CLASS_NAMES)
    report = write_report(folder).read_text()
    for name, each in basis.items():
        assert f"{name} {each['positives']}" in report
        said = f"{name} stayed at 0.50: fewer than 5 validation images show it."
        assert (said in report) == (name in stayed)
        limit = f"{name}: its threshold was not chosen but stayed"
        assert (limit in card(folder)) == (name in stayed)
    # An experiment from before this was recorded is reported as it was.
    results = read_results(folder)
    del results["threshold_basis"]
    write_results(folder, results)
    assert "stayed at" not in write_report(folder).read_text()
