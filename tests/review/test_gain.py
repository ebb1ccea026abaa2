"""What corrected labels are worth: the figures, their intervals, and what is refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from experiment_factory import CLASS_NAMES, read_results, write_results
from reviewing import run_corrections
from trained_twice import (
    FINGERPRINT,
    SEEDS,
    decide,
    given_labels,
    write_both,
    write_corrected,
    write_given,
    write_review,
)

from core.errors import InputError
from core.experiments.finding import find_experiments
from core.experiments.predictions import read_predictions
from core.experiments.reading import read_experiment
from core.metrics.classification import classification_metrics
from core.metrics.intervals import Bootstrap
from core.review.gain import measure
from core.review.gain_table import SCORED_BY, headline, notes
from core.review.leases import chosen
from core.review.paired_gains import NO_DIFFERENCE, Seed, paired_gains
from core.review.pairing import find_pairings, pair
from core.review.store import ReviewStore

MACRO_AP, MACRO_F1 = ("macro", "average_precision"), ("macro", "f1")
FEW = Bootstrap(resamples=200)
SHARES = (0.1, 0.06, 0.4, 0.1)


def found_in(results_dir: Path):
    return find_pairings(map(read_experiment, find_experiments((), results_dir)))


def simulated(generator, images: int, qualities, seed_spread: float) -> tuple[np.ndarray, list]:
    """Labels, and models of three seeds whose mean qualities are those of before and after."""
    labels = (generator.random((images, 4)) < SHARES).astype(int)
    of_image = generator.normal(size=labels.shape)

    def model(quality):
        drawn = quality + seed_spread * generator.normal()
        noise = (of_image + generator.normal(size=labels.shape)) / np.sqrt(2)
        return 1 / (1 + np.exp(-2 * (noise + drawn * (labels - 0.55)))), 0.5

    return labels, [Seed(np.arange(images), *map(model, qualities)) for _ in SEEDS]


@pytest.mark.slow
def test_of_equal_models_the_interval_covers_zero():
    """At 95 %, 2 of 40 miss it; more than 6 would happen in three of a thousand trials."""
    generator = np.random.default_rng(7)
    missed = {MACRO_AP: 0, MACRO_F1: 0}
    for _ in range(40):
        labels, seeds = simulated(generator, 100, (1.5, 1.5), 0.3)
        gains = paired_gains(labels, CLASS_NAMES, seeds, list(missed), Bootstrap(resamples=128))
        for key, gain in gains.items():
            missed[key] += gain.is_shown
    assert max(missed.values()) <= 6


def test_a_true_gain_is_found_and_its_interval_holds_the_difference():
    labels, seeds = simulated(np.random.default_rng(1), 300, (1.0, 3.0), 0.05)
    gain = paired_gains(labels, CLASS_NAMES, seeds, [MACRO_AP], FEW)[MACRO_AP]
    low, high = gain.interval
    assert 0 < low < gain.difference < high
    assert gain.verdict == "better"
    turned = [Seed(seed.rows, seed.after, seed.before) for seed in seeds]
    worse = paired_gains(labels, CLASS_NAMES, turned, [MACRO_AP], FEW)[MACRO_AP]
    assert worse.verdict == "worse"
    assert worse.interval == pytest.approx((-high, -low))


def test_one_strip_that_shows_the_class_shows_no_difference():
    labels = np.zeros((40, 1), int)
    labels[0] = 1
    missed, found = np.zeros((40, 1)), labels.astype(float)
    seeds = [Seed(np.arange(40), (missed, 0.5), (found, 0.5)) for _ in SEEDS]
    gain = paired_gains(labels, ["pit"], seeds, [MACRO_F1], FEW)[MACRO_F1]
    assert gain.difference == 1
    assert not gain.is_shown


def test_a_class_without_positives_has_no_figures():
    labels, seeds = simulated(np.random.default_rng(1), 100, (1.0, 1.0), 0.0)
    labels[:, 1] = 0
    key = ("per_class", CLASS_NAMES[1], "average_precision")
    gains = paired_gains(labels, CLASS_NAMES, seeds, [key, MACRO_AP], FEW)
    assert gains[key] is None
    assert gains[MACRO_AP] is not None


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Three seeds on either labels, with 400 test strips; the corrected ones are better."""
    folder = tmp_path_factory.mktemp("gain")
    write_both(folder / "results", gained=1.5, images=400, quality=1.5)
    return folder / "results"


@pytest.fixture
def store(made, tmp_path) -> ReviewStore:
    return write_review(tmp_path / "decisions.sqlite", made, 120)


def test_the_figures_are_those_of_the_reviewed_strips_alone(made, store):
    (pairing,), problems = found_in(made)
    assert (pairing.seeds, problems) == ([1, 2, 3], [])
    found = measure(pairing, store, FEW)
    given = given_labels(made / "given_1")
    chosen = list(given)[:120]
    reviewed = np.array([given[name] for name in chosen])
    reviewed[0, 0] = 1 - reviewed[0, 0]
    expected = {}
    for one in pairing.given:
        part = read_predictions(one)
        rows = [part.image_ids.index(name) for name in chosen]
        own = classification_metrics(reviewed, part.probabilities[rows], CLASS_NAMES,
                                     one.look_up("thresholds"))  # fmt: skip
        for metric in ("average_precision", "f1"):
            expected.setdefault(metric, []).append(own["macro"][metric])
    for metric, values in expected.items():
        assert found.on_reviewed.gains["macro", metric].before == pytest.approx(np.mean(values))
    assert (found.num_strips, found.num_changed, found.num_open) == (120, 1, 0)
    assert (found.num_learned, found.has_gone_on) == (5, True)
    assert found.on_reviewed.gains[MACRO_AP].verdict == "better"
    assert found.on_given.gains[MACRO_AP].before != found.on_reviewed.gains[MACRO_AP].before
    assert "macro AP is better by" in headline(found)


def test_labels_corrected_where_a_model_disagrees_do_not_count(made, store):
    (pairing,), _ = found_in(made)
    before = measure(pairing, store, FEW)
    given = given_labels(made / "given_1")
    others = list(given)[120:200]
    part = read_predictions(pairing.corrected[0])
    agreed = {
        name: (part.probabilities[part.image_ids.index(name)] > 0.5).astype(int).tolist()
        for name in others
    }
    decide(store, given, agreed, sample="ranked", blind=False)
    decide(store, given, {name: agreed[name] for name in others[:9]}, blind=False, reviewer="Bob")
    after = measure(pairing, store, FEW)
    assert after.on_reviewed == before.on_reviewed
    assert any("would flatter it" in note for note in notes(after))


def test_strips_that_are_not_decided_in_every_class_are_left_out(made, store):
    given = given_labels(made / "given_1")
    (unsure,) = list(given)[120:121]
    decide(store, given, {unsure: [0, None, 0, 0]})
    (pairing,), _ = found_in(made)
    found = measure(pairing, store, FEW)
    assert (found.num_strips, found.num_open) == (120, 1)
    assert any("not every class is decided blind: 1 strips" in note for note in notes(found))


def test_a_strip_of_the_sample_that_was_not_decided_blind_waits_no_more(made, store):
    (pairing,), _ = found_in(made)
    before, given = measure(pairing, store, FEW), given_labels(made / "given_1")
    drawn = [name for name in given if chosen(FINGERPRINT, name, 0.1, "random")]
    waiting = [name for name in drawn if name not in {e.image_id for e in store.entries()}]
    assert before.num_waiting == len(waiting) > 0
    decide(store, given, {waiting[0]: given[waiting[0]]}, blind=False)
    after = measure(pairing, store, FEW)
    assert (after.num_waiting, after.num_open) == (len(waiting) - 1, before.num_open + 1)
    assert after.num_strips == before.num_strips


@pytest.mark.slow
def test_equal_models_show_no_difference(tmp_path):
    write_both(tmp_path / "results", images=400, quality=1.5)
    store = write_review(tmp_path / "decisions.sqlite", tmp_path / "results")
    (pairing,), _ = found_in(tmp_path / "results")
    found = measure(pairing, store, FEW)
    for metric in (MACRO_AP, MACRO_F1):
        low, high = found.on_reviewed.gains[metric].interval
        assert low <= 0 <= high
        assert found.on_reviewed.gains[metric].verdict == NO_DIFFERENCE
    assert headline(found).count(NO_DIFFERENCE) == 2


def test_too_few_reviewed_strips_say_how_many_wait(made, tmp_path):
    store = write_review(tmp_path / "decisions.sqlite", made, 20)
    (pairing,), _ = found_in(made)
    with pytest.raises(InputError, match=r"20 of 400 test strips .* expected 30 or more") as told:
        measure(pairing, store)
    assert "more wait on the page Review" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_review_of_other_strips_than_those_that_were_learned_is_refused(made, tmp_path):
    """Of one training, only strips that it did not learn from are reviewed."""
    store, given = ReviewStore(tmp_path / "d.sqlite", create=True), given_labels(made / "given_1")
    decide(store, given, {name: [1 - first, *rest] for name, (first, *rest) in given.items()})
    (pairing,), _ = found_in(made)
    with pytest.raises(InputError, match="changed no label of a training strip of given_1"):
        measure(pairing, store)


def test_a_small_test_part_says_how_large_it_should_be(tmp_path):
    write_both(tmp_path / "results", images=50)
    store = write_review(tmp_path / "decisions.sqlite", tmp_path / "results", 10)
    (pairing,), _ = found_in(tmp_path / "results")
    with pytest.raises(InputError, match="the test part should have 300 strips or more"):
        measure(pairing, store)


def named(folder: Path) -> tuple[list, list]:
    paths = map(read_experiment, find_experiments((), folder))
    sides: tuple[list, list] = ([], [])
    for one in paths:
        sides[one.name.startswith("corrected")].append(one)
    return sides


def changed(folder: Path, section: str, key: str, value) -> None:
    results = read_results(folder)
    results[section][key] = value
    write_results(folder, results)


def resplit(folder: Path) -> None:
    file = folder / "split.csv"
    file.write_text(file.read_text().replace("train", "validation", 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: resplit(folder / "corrected_3"),
         "2 match.*its split is not that of given_3"),
        (lambda folder: changed(folder / "corrected_2", "config", "loss", {"type": "bce"}),
         "corrected_2: .* differs .* in more than corrections: loss.type"),
        (lambda folder: changed(folder / "given_1", "data", "fingerprint", "ff" * 32),
         "was trained on other data"),
        (lambda folder: changed(folder / "given_1", "data", "corrections", {"sha256": "a"}),
         "--given given_1: was trained with data.corrections: give it as --corrected"),
        (lambda folder: write_corrected(folder, 4, sha256="aa", images=40),
         "corrected_4: was trained with other decisions"),
        (lambda folder: [changed(folder / "corrected_1", "experiment", "seed", 9),
                         changed(folder / "corrected_1", "config", "experiment", {"seed": 9})],
         "2 match.*given_1: no partner has seed 1"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused_in_a_line(tmp_path, change, told):
    write_both(tmp_path, images=40)
    assert pair(*named(tmp_path)).seeds == [1, 2, 3]
    change(tmp_path)
    with pytest.raises(InputError, match=told) as refused:
        pair(*named(tmp_path))
    assert "\n" not in str(refused.value)


def test_pairings_are_found_among_other_experiments(tmp_path):
    write_both(tmp_path, images=40)
    write_given(tmp_path, 4, images=40)
    write_given(tmp_path, 1, name="wider", images=40, config={"model.name": "resnet101"})
    (pairing,), problems = found_in(tmp_path)
    assert [one.name for one in pairing.given] == [f"given_{seed}" for seed in SEEDS]
    assert pairing.left_out == ("given_4: no partner has seed 4",)
    assert not problems
    write_corrected(tmp_path, 5, name="alone", images=40, config={"loss.gamma": 3.0})
    write_corrected(tmp_path, 2, name="later_round", images=40, sha256="aa")
    pairings, problems = found_in(tmp_path)
    assert len(pairings) == 1
    alone, later = sorted(problems)
    assert alone.startswith("alone: no experiment on the given labels has the same config")
    assert alone.endswith("differs in loss.gamma")
    assert later.startswith("seeds: 1 match")


@pytest.fixture
def run(monkeypatch, capsys):
    return partial(run_corrections, monkeypatch, capsys)


@pytest.mark.slow
def test_the_command_finds_the_experiments_or_takes_those_named(made, store, run):
    code, text = run("gain", store.path, "--results-dir", made)
    assert code == 0, text
    assert text.count("macro AP") == 3
    assert all(f"Scored by {title}:" in text for title in SCORED_BY)
    sides = ("--given", *sorted(made.glob("given_*")), "--corrected", *made.glob("corrected_*"))
    assert run("gain", store.path, *sides) == (0, text)


def test_the_command_says_what_is_missing(made, store, run, tmp_path):
    code, text = run("gain", store.path, "--given", made / "given_1")
    assert (code, text.count("\n")) == (2, 1)
    assert "--corrected: no experiment" in text
    (tmp_path / "none").mkdir()
    code, text = run("gain", store.path, "--results-dir", tmp_path / "none")
    assert (code, text.count("\n")) == (0, 1)
    assert "no experiment with data.corrections" in text
