"""The section of the report that shows what code/explain.py found."""

import json

import cv2
import numpy as np
from experiment_factory import CLASS_NAMES, write_experiment
from installed_fonts import installed

from core.analysis.report import write_report


def scores() -> dict:
    row = {"pointing_accuracy": 0.75, "energy_inside": 0.125, "deletion": 0.25, "insertion": 0.5}
    per_class = {name: {"num_images": 3, **row} for name in CLASS_NAMES}
    per_class["defect_2"] = {"num_images": 0}
    means = {"macro": {**row, "deletion": None}, "per_class": per_class}
    return {"num_images": 9, "curve_steps": 4, "maps": {"hires_cam": means, "random map": means}}


def test_scores_and_pictures_of_every_explanation(tmp_path):
    folder = write_experiment(tmp_path)
    assert "Nothing explained yet" in write_report(folder).read_text()
    for name, content in (("a", scores()), ("b", None)):
        target = folder / f"explanation_{name}"
        target.mkdir()
        text = json.dumps({"method": "<hires>", "scores": content})
        (target / "explanation.json").write_text(text)
        cv2.imwrite(str(target / "contact_sheet.jpg"), np.zeros((40, 2000, 3), np.uint8))
    broken = folder / "explanation_c"
    broken.mkdir()
    (broken / "explanation.json").write_text("{")
    html = write_report(folder).read_text()
    assert "Nothing explained yet" not in html
    assert "explanation_a: &lt;hires&gt;" in html
    assert "random map" in html
    assert "defect_1 (3)" in html
    assert "No masks to score on." in html
    assert "explanation_c cannot be read" in html
    assert html.count("<summary>Pictures</summary>") == 2


def test_classes_that_pictures_call_by_number_are_named(tmp_path):
    folder = write_experiment(tmp_path, class_names=["Riß", "трещина", "裂纹", "黑点"])
    target = folder / "explanation_a"
    target.mkdir()
    (target / "explanation.json").write_text('{"method": "m", "scores": null}')
    with installed():
        html = write_report(folder).read_text()
    assert "In the pictures, class 3 is 裂纹, class 4 is 黑点." in html
