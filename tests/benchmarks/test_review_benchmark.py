"""The benchmark of a whole review: its steps, its tables, and what it does when called again."""

import csv
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from benchmarks import review, review_reviewer
from benchmarks.options import Options
from benchmarks.review import results
from benchmarks.review_reviewer import Truth
from benchmarks.review_table import Found, Trained, found_rows, tables, worth_rows
from core.errors import InputError
from core.review.overlay import COLUMNS, read_corrections
from core.review.store import ReviewStore

TINY = {"kinds": ("missing",), "seeds": (1,), "image_size": (32, 64), "num_images": 60,
        "test_images": 20, "num_epochs": 1}  # fmt: skip
NAMES = ("pit", "crack")


@pytest.fixture(scope="module")
def sweep_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("review")


@pytest.fixture(scope="module")
def done(sweep_dir):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(review, "_FOLDS", 3)  # as few as there can be
        return results(Options(**TINY, sweep_dir=sweep_dir), sweep_dir)


@pytest.mark.slow
def test_errors_are_planted_ranked_reviewed_and_trained_on(done, sweep_dir):
    (found, *worth), text = done
    assert (found["planted"], found["strips"], found["reviewed"]) == (3, 60, 3)
    assert found["met"] >= found["mended"]
    assert [row["figure"] for row in worth] == ["macro AP", "macro F1 at 0.5"]
    assert all(0 <= row["true"] <= 1 for row in worth)
    assert "no difference shown" in text
    store = ReviewStore(sweep_dir / "review_missing" / "decisions.sqlite")
    assert {entry.reviewer for entry in store.entries()} == {"simulated"}
    assert len(store.entries()) == 3 * 4
    exported = read_corrections(sweep_dir / "review_missing" / "corrections.csv")
    assert exported.labels == read_corrections(store.path).labels


@pytest.mark.slow
def test_what_is_finished_is_not_repeated(done, sweep_dir, monkeypatch):
    def repeated(*_):
        raise AssertionError("done again")

    for step in ("train", "cross_validate", "review", "reevaluate"):
        monkeypatch.setattr(review, step, repeated)
    assert results(Options(**TINY, sweep_dir=sweep_dir), sweep_dir) == done
    with pytest.raises(AssertionError, match="done again"):
        results(Options(**TINY | {"seeds": (1, 2)}, sweep_dir=sweep_dir), sweep_dir)
    with pytest.raises(InputError, match="holds a sweep with other settings"):
        results(Options(**TINY | {"num_epochs": 2}, sweep_dir=sweep_dir), sweep_dir)


def test_mistakes_are_named_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="--kinds missed: expected some of uniform, missing"):
        results(Options(kinds=("missed",), sweep_dir=tmp_path / "sweep"), tmp_path)
    assert not (tmp_path / "sweep").exists()


def write_rows(path: Path, header, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def test_planted_errors_are_counted_where_they_were_found(tmp_path):
    """Of 40 strips two have an error; one is ranked first, reviewed and mended."""
    images = [f"{number:02d}.jpg" for number in range(40)]
    labels = {name: [number % 2, 0] for number, name in enumerate(images)}
    truth = Truth(NAMES, labels, {("01.jpg", "pit"), ("39.jpg", "pit")})
    folds = tmp_path / "folds"
    rows = [(images[1], "pit"), *((name, "pit") for name in images if name != images[1])]
    write_rows(folds / "label_errors.csv", ("image_id", "class_name"), rows)
    header = ["image_id", "split", *(f"{what}_{n}" for what in ("label", "probability")
                                     for n in NAMES)]  # fmt: skip
    given = {**labels, "01.jpg": [0, 0], "39.jpg": [0, 0]}
    predicted = [(name, "test", *given[name], 0.1 + 0.8 * labels[name][0], 0.5) for name in images]
    write_rows(folds / "predictions.csv", header, predicted)
    decided = [("01.jpg", "pit", 0, 1), ("01.jpg", "crack", 0, 0), ("02.jpg", "pit", 0, 1)]
    file = write_rows(tmp_path / "corrections.csv", COLUMNS, [(*row, "0" * 64) for row in decided])
    (row,) = found_rows([Found("missing", folds, file, truth)])
    assert row["first"] == {"0.025": 1, "0.05": 1, "0.1": 1}
    assert (row["reviewed"], row["met"], row["mended"], row["spoilt"]) == (2, 1, 1, 1)
    assert row["ap_by_given"] < row["ap_by_true"] == 1
    assert "1 of 2" in tables([row], [])


def test_a_difference_is_shown_only_where_its_interval_leaves_zero(tmp_path):
    header = ["image_id", "split", *(f"{what}_{n}" for what in ("label", "probability")
                                     for n in NAMES)]  # fmt: skip
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=(300, 2))

    def trained(kind, named, seed, quality):
        scores = quality * labels + generator.random(labels.shape)
        rows = [
            (f"{at:03d}", "test", *label, *np.clip(score / 2, 0, 1).round(6))
            for at, (label, score) in enumerate(zip(labels, scores, strict=True))
        ]
        folder = tmp_path / f"{kind}_{named}_{seed}"
        write_rows(folder / "predictions.csv", header, rows)
        return Trained(kind, named, seed, folder)

    runs = [trained("", "true", seed, 0.9) for seed in (1, 2)]
    for seed in (1, 2):
        runs += [trained("uniform", "given", seed, 0.2), trained("uniform", "reviewed", seed, 0.9)]
        runs += [trained("missing", "given", seed, 0.5), trained("missing", "reviewed", seed, 0.5)]
    rows = worth_rows(runs)
    shown = {(row["kind"], row["figure"]): row["shown"] for row in rows}
    assert shown["uniform", "macro AP"]
    assert not shown["missing", "macro AP"]
    for row in rows:
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
        assert row["difference"] == pytest.approx(row["reviewed"] - row["given"])


def test_an_interrupted_reviewer_goes_on_under_other_requests(tmp_path, monkeypatch):
    strips = [{"key": f"{n}", "name": f"{n}.jpg", "blind": False, "column": 0} for n in range(9)]
    decided = []

    def ask(path, content=None):
        if path.endswith("decide"):
            decided.append(content)
        if path == "/api/experiments":
            return {"experiments": [{"key": "e"}]}
        if "progress" in path:
            return {"strips": len(decided)}
        return {"strips": strips[len(decided) :][:1]}

    monkeypatch.setattr(review_reviewer, "running_workbench", lambda *_: nullcontext(ask))
    truth = Truth(NAMES, {strip["name"]: [0, 1] for strip in strips}, set())
    review_reviewer.review(tmp_path, tmp_path / "store", truth, 3, seed=1)
    review_reviewer.review(tmp_path, tmp_path / "store", truth, 6, seed=1)
    assert [each["strip"] for each in decided] == list("012345")
    assert len({each["request"] for each in decided}) == 6
