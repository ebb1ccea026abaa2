"""The report: one file, nothing from outside, everything the experiment wrote."""

import base64
import csv
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from experiment_factory import CLASS_NAMES, read_results, write_experiment, write_results

from core.analysis import report_figures
from core.analysis.decisions import Decisions, decisions_of
from core.analysis.label_sets import set_names
from core.analysis.report import write_report
from core.analysis.report_figures import MOST_CHARTS, precision_recall
from core.analysis.strips import data_url, grey_image, strip
from core.errors import InputError
from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment
from core.experiments.strips import ImageFolder

VOID = {"meta", "link", "img"}


class Reader(HTMLParser):
    """Checks that tags are closed in order, and collects ids, addresses and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("src", "href", "action") if key in values]
        assert "style" not in values or "url(" not in values["style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


@pytest.fixture
def folder(tmp_path):
    """An experiment whose data set lies beside it, every image of it a small grey JPEG."""
    folder = write_experiment(tmp_path / "results", calibration="platt", images=80)
    images = tmp_path / "strips" / "train_images"
    images.mkdir(parents=True)
    for part in ("validation", "test"):
        for image_id in read_predictions(read_experiment(folder), part).image_ids:
            cv2.imwrite(str(images / image_id), np.full((16, 100), 90, np.uint8))
    results = read_results(folder)
    results["data"]["root"] = str(tmp_path / "strips")
    write_results(folder, results)
    return folder


def test_the_report_is_one_file_that_asks_for_nothing(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    reader = read(path)
    beside = {"results.json", "predictions.csv", "split.csv"}
    for address in reader.addresses:
        assert address.startswith(("#", "data:")) or address in beside, address
    assert beside <= set(reader.addresses)
    html = path.read_text()
    assert not re.search(r"https?://|@import|url\(|fetch|import\(", html)
    assert html.count("<script") == 1
    links = [address[1:] for address in reader.addresses if address.startswith("#")]
    assert links
    assert set(links) <= set(reader.ids)
    assert html.count("data:image/jpeg;base64,") > 10


def test_strips_are_enlarged_by_mouse_and_keyboard(folder):
    html = write_report(folder).read_text()
    # A button takes the focus and the Enter key; Escape closes a modal dialog.
    views = re.findall(r'<button class="view" type="button"[^>]*><img ', html)
    assert len(views) == html.count("data:image/jpeg;base64,") > 10
    assert html.count("<dialog") == 1
    assert "showModal" in html


def test_every_colour_has_a_dark_one(folder):
    html = write_report(folder).read_text()
    light, dark = re.findall(r":root\{(.*?)\}", html, re.DOTALL)
    defined, defined_dark = (set(re.findall(r"(--[\w-]+):", part)) for part in (light, dark))
    assert set(re.findall(r"var\((--[\w-]+)\)", html)) <= defined | {"--c"}
    assert defined == defined_dark
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "var(--series-0)" in drawn
    assert not re.search(r"#[0-9a-fA-F]{3}", drawn)


def test_markup_in_class_names_is_escaped(tmp_path):
    names = ["<script>", "a & b", "<img src=x>", "&lt;b&gt;"]
    folder = write_experiment(tmp_path, images=60, class_names=names)
    results = read_results(folder)
    for record in results["history"]:
        record["validation"]["per_class_f1"] = dict.fromkeys(names, 0.5)
    write_results(folder, results)
    path = write_report(folder)
    reader = read(path)
    assert path.read_text().count("<script") == path.read_text().count("</script") == 1
    text = " ".join(reader.text)
    assert all(name in text for name in names)


def test_a_page_of_many_classes_stays_small(tmp_path):
    names = [f"class_{n}" for n in range(60)]
    generator = np.random.default_rng(0)
    folder = write_experiment(tmp_path, images=60)
    experiment = read_experiment(folder)
    labels, scores = generator.random((60, 60)) < 0.3, generator.random((60, 60))
    test = Decisions((), labels, scores, scores >= 0.5, dict.fromkeys(names, 0.5))
    many = replace(experiment, results={**experiment.results, "data": {"class_names": names}})
    assert precision_recall(many, test).count("<svg") == MOST_CHARTS
    assert "36 more classes are not drawn." in precision_recall(many, test)


def test_the_report_holds_what_the_experiment_wrote(folder):
    text = " ".join(read(write_report(folder)).text)
    results = read_results(folder)
    for row in results["test"]["per_class"].values():
        assert f"{row['f1']:.3f}" in text
        assert f"{row['average_precision']:.3f}" in text
    for row in results["test_at_thresholds"]["per_class"].values():
        assert f"{row['f1']:.3f}" in text
    low, high = results["test"]["intervals"]["macro"]["f1"]
    assert f"[{low:.3f}, {high:.3f}]" in text
    for value in results["thresholds"].values():
        assert f"{value:.3f}" in text
    after = results["calibration"]["after"]["per_class"]["defect_1"]["brier_score"]
    assert f"{after:.3f}" in text
    for words in ("loss.gamma", "packages.torch", "0123456789abcdef", "after platt", "Loss"):
        assert words in text
    assert "did not look for near-duplicates" in text


def test_markup_in_names_is_escaped(folder):
    html = write_report(folder).read_text()
    assert "augmentation.x=&#x27;&lt;b&gt;&#x27;" in html
    assert "<b>'" not in html


def test_absent_images_are_said_and_a_wrong_root_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    html = write_report(folder, data_root=tmp_path / "elsewhere").read_text()
    assert "image not found" in html
    assert "data:image/jpeg" not in html
    with pytest.raises(InputError, match="nowhere is not a folder"):
        write_report(folder, data_root=tmp_path / "nowhere")


def test_an_undefined_class_and_few_epochs_are_drawn(tmp_path):
    folder = write_experiment(tmp_path, images=40)
    lines = (folder / "predictions.csv").read_text().splitlines()
    header = lines[0].split(",")
    rows = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    for row in rows:
        row["label_defect_2"] = "0"
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header)
        writer.writeheader()
        writer.writerows(rows)
    results = read_results(folder)
    for part in ("validation", "test"):
        row = results[part]["per_class"]["defect_2"]
        row |= {"support": 0, "average_precision": None, "auroc": None}
    results["test"]["undefined"]["auroc"] = 1
    results["history"] = results["history"][:1]
    write_results(folder, results)
    text = " ".join(read(write_report(folder)).text)
    assert "No test image shows defect_2." in text
    assert "AUROC of 1" in text


def test_duplicates_with_different_labels_come_first(folder):
    part = read_predictions(read_experiment(folder))
    names = set_names(part.labels, CLASS_NAMES)
    clean = [
        image for image, name in zip(part.image_ids, names, strict=True) if name == "no defect"
    ]
    other = next(
        image for image, name in zip(part.image_ids, names, strict=True) if name == "defect_3"
    )
    pairs = [(clean[0], clean[1]), (clean[2], other), (clean[3], "of_training.jpg")]
    with (folder / "duplicates.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("first", "second"), *pairs])
    html = write_report(folder).read_text()
    assert "3 pairs, 1 of them with different labels" in html
    assert html.index(f"<td>{clean[2]}") < html.index(f"<td>{clean[0]}")
    (folder / "duplicates.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected first and second"):
        write_report(folder)


def test_a_cross_validation_has_its_reports_in_its_folds(folder):
    results = read_results(folder)
    results["folds"] = [{"name": "fold_1"}, {"name": "fold_2"}]
    write_results(folder, results)
    with pytest.raises(InputError, match=r"cross-validation of 2 models: .* such as .*fold_1$"):
        write_report(folder)


def test_figures_at_the_chosen_thresholds_stand_first(folder):
    results = read_results(folder)
    results["test_at_thresholds"]["macro"]["f1"] = 0.987
    results["test"]["macro"]["f1"] = 0.654
    write_results(folder, results)
    html = write_report(folder).read_text()
    assert html.index("<b>0.987</b>") < html.index("at 0.5: 0.654")
    assert "false alarms per 100 clean strips" in html


def test_a_strip_is_judged_at_its_class_s_threshold(folder):
    """A mistake at 0.5 which the chosen thresholds mend is no mistake of the report."""
    results = read_results(folder)
    results["thresholds"] = dict.fromkeys(CLASS_NAMES, 0.0)
    write_results(folder, results)
    html = write_report(folder).read_text()
    missed = html.partition("<h3>Missed defects</h3>")[2].partition("<h3>")[0]
    assert missed == "<p>None.</p>"


@pytest.mark.parametrize("learned", [False, "softmax"])
def test_weights_are_called_learned_only_where_they_are(folder, learned):
    results = read_results(folder)
    results["history"][-1]["loss_weights"] = {"masks/dice_loss": 0.25}
    results["loss"]["params"]["learnable_weights"] = "softmax"
    params = {"learnable_weights": learned}
    results["mask_loss"] = {"type": "compound", "params": params, "weight": 1.0}
    write_results(folder, results)
    assert ("Learned loss weights" in write_report(folder).read_text()) == bool(learned)


def test_the_most_probable_of_many_classes_are_told(tmp_path):
    names = [f"class_{n}" for n in range(4)] + [f"more_{n}" for n in range(26)]
    folder = write_experiment(tmp_path, images=40)
    part = read_predictions(read_experiment(folder))
    probabilities = np.tile(np.linspace(0.01, 0.3, 30), (len(part.labels), 1))
    labels = np.pad(part.labels, ((0, 0), (0, 26)))
    thresholds = dict.fromkeys(names, 0.5)
    html = strip(
        None, Decisions(part.image_ids, labels, probabilities, probabilities > 0.5, thresholds), 0
    )
    assert html.count('class="tag') == 6 + labels[0].sum()
    assert "others at most 0.24" in html


def test_a_class_that_is_wrongly_found_or_missed_stands_out():
    labels, found = np.array([[[1, 0, 1, 0]], [[1, 1, 0, 0]]], dtype=bool)
    thresholds = dict.fromkeys(CLASS_NAMES, 0.5)
    html = strip(None, Decisions(("a",), labels, found.astype(float), found, thresholds), 0)
    assert re.findall(r'class="(tag[^"]*)">(\w+)', html) == [
        ("tag on", "defect_1"),
        ("tag wrong", "defect_2"),
        ("tag wrong on", "defect_3"),
        ("tag", "defect_4"),
    ]


def test_suspects_of_both_parts_stand_in_one_order(folder):
    html = write_report(folder).read_text()
    found = re.findall(r">(validation|test); [^<]* disagreement ([\d.]+)<", html)
    assert {part for part, _ in found} == {"validation", "test"}
    shares = [float(share) for _, share in found]
    assert shares == sorted(shares, reverse=True)


def test_charts_have_their_points_where_they_were_counted(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(report_figures, "line_chart", lambda *given: drawn.append(given) or "")
    experiment = read_experiment(folder)
    test = decisions_of(experiment, read_predictions(experiment))
    precision_recall(experiment, test)
    results = experiment.results
    for (_, _, _, marks), name in zip(drawn, CLASS_NAMES, strict=True):
        for mark, key in zip(marks, ("test", "test_at_thresholds"), strict=True):
            row = results[key]["per_class"][name]
            assert (mark.x, mark.y) == pytest.approx((row["recall"], row["precision"]))
    drawn.clear()
    report_figures.reliability(experiment, test)
    scaled = results["calibration"]["after"]["per_class"]
    bins = [[bin["num_images"] for bin in scaled[name]["reliability"]] for name in CLASS_NAMES]
    assert any(0 < number < 5 for numbers in bins for number in numbers)
    for (_, series, _), numbers in zip(drawn, bins, strict=True):
        assert len(series[-1].points) == sum(number >= 5 for number in numbers)


def test_pictures_come_from_the_data_set_only(tmp_path):
    images = tmp_path / "data" / "train_images"
    images.mkdir(parents=True)
    cv2.imwrite(str(images / "a.jpg"), np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(tmp_path / "secret.jpg"), np.zeros((8, 8), np.uint8))
    (images / "broken.jpg").write_bytes(b"no image")
    folder = ImageFolder(tmp_path / "data")
    assert grey_image(folder, "a.jpg").shape == (8, 8)
    for name in ("../secret.jpg", "broken.jpg", "absent.jpg"):
        assert grey_image(folder, name) is None
    assert grey_image(ImageFolder(tmp_path / "nowhere"), "a.jpg") is None


def test_pictures_are_scaled_down_and_stand_in_the_page():
    for size, pixels, expected in (
        ((100, 2000), 10**6, (25, 500)),
        ((4000, 400), 10**5, (1000, 100)),
        ((20, 30), 600, (20, 30)),
    ):
        url = data_url(np.full(size, 90, np.uint8), width=500, pixels=pixels)
        content = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"), validate=True)
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == pytest.approx(expected, abs=1), size


def test_the_report_of_a_training_links_the_files_that_are_there(trained):
    addresses = read(trained / "report.html").addresses
    links = {address for address in addresses if not address.startswith(("#", "data:"))}
    assert {"results.json", "train.log", "MODEL_CARD.md", "history.png"} <= links
    assert all((trained / link).is_file() for link in links)
