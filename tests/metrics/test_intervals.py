"""Resamples equal scikit-learn, intervals cover the truth, differences are paired."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest, bootstrap, norm
from scipy.stats import t as student
from simulated_predictions import CLASS_NAMES, Population, random_predictions
from sklearn.metrics import average_precision_score

from core.errors import InputError
from core.metrics.bounds import (
    auroc_score_bounds,
    average_precision_bounds,
    bootstrap_bounds,
    exact_bounds,
)
from core.metrics.classification import classification_metrics
from core.metrics.intervals import Bootstrap, bootstrap_intervals, paired_differences
from core.metrics.resampling import (
    Units,
    WeightedFigures,
    bootstrap_weights,
    jackknife_weights,
    strata,
)
from core.metrics.scored_predictions import METRICS

NAMES = ["defect_1", "defect_2", "defect_3", "defect_4"]
QUICK = Bootstrap(resamples=300, seed=1)


def flat(nested, where=()):
    """{path: value} of a report's figures, undefined ones and counts left out."""
    found = {}
    for key, value in nested.items():
        if isinstance(value, dict) and "interval" not in value:
            found |= flat(value, (*where, key))
        elif value is not None and key in (*METRICS, "subset_accuracy"):
            found[(*where, key)] = value
    return {key: value for key, value in found.items() if key[0] != "undefined"}


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 60), decimals=st.integers(1, 3))
def test_each_resample_equals_scikit_learn(seed, images, decimals):
    labels, probabilities = random_predictions(seed, images)
    probabilities = np.round(probabilities, decimals)
    figures = WeightedFigures((labels.astype(bool), probabilities, probabilities >= 0.5), NAMES)
    weights = next(bootstrap_weights(Units.of(labels), 3, np.random.default_rng(seed)))
    found = figures(weights)
    for column, counts in enumerate(weights.T.astype(int)):
        resample = np.repeat(labels, counts, axis=0), np.repeat(probabilities, counts, axis=0)
        expected = flat(classification_metrics(*resample, NAMES))
        ours = {key: value[column] for key, value in found.items()}
        # A class that is missing from a small resample leaves its mean undefined too.
        defined = {key for key, value in ours.items() if np.isfinite(value)}
        assert expected.keys() - defined <= {("macro", m) for m in ("average_precision", "auroc")}
        for key in defined:
            assert ours[key] == pytest.approx(expected[key], abs=1e-12)


def test_resamples_keep_every_support_and_draw_each_image_once_on_average():
    labels = np.repeat([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]], [150, 90, 40, 20], axis=0)
    weights = np.concatenate(
        list(bootstrap_weights(Units.of(labels), 400, np.random.default_rng(0))), axis=1
    )
    assert weights.shape == (300, 400)
    groups = strata(labels)
    assert sorted(map(len, groups)) == [20, 40, 90, 150]
    for group in groups:
        assert len(np.unique(labels[group], axis=0)) == 1
        np.testing.assert_array_equal(weights[group].sum(axis=0), len(group))
    clean = np.flatnonzero(~labels.any(axis=1))
    assert abs(weights[clean].mean(axis=1) - 1).max() < 0.25
    # Draws with replacement: a count's variance is that of a binomial, 1 - 1/n.
    assert weights[clean].var() == pytest.approx(1 - 1 / len(clean), rel=0.03)


def test_a_label_set_of_few_images_joins_the_others_with_its_rarest_class():
    sets = [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]]
    labels = np.repeat(sets, [100, 60, 30, 8, 2, 1], axis=0)
    groups = {len(group): labels[group] for group in strata(labels)}
    assert sorted(groups) == [11, 30, 60, 100]
    assert groups[11][:, 1].all()
    for weights in bootstrap_weights(Units.of(labels), 50, np.random.default_rng(0)):
        np.testing.assert_array_equal(weights[labels[:, 1] == 1].sum(axis=0), 11)


def test_jackknife_leaves_each_image_out_and_keeps_its_label_set_whole():
    labels, _ = random_predictions(0, 150)
    weights = np.concatenate(list(jackknife_weights(Units.of(labels))), axis=1)
    sizes = [len(group) for group in strata(labels)]
    assert weights.shape[1] == sum(size for size in sizes if size > 1)
    np.testing.assert_array_equal((weights == 0).sum(axis=0), 1)
    for group in strata(labels):
        np.testing.assert_allclose(weights[group].sum(axis=0), len(group))


def test_intervals_are_shaped_like_the_metrics_and_hold_their_figure():
    labels, probabilities = random_predictions(0)
    figures = flat(classification_metrics(labels, probabilities, NAMES))
    intervals = bootstrap_intervals(labels, probabilities, NAMES, bootstrap=QUICK)
    bounds = flat(intervals)
    assert bounds.keys() == figures.keys()
    for key, (low, high) in bounds.items():
        assert 0 <= low <= figures[key] + 1e-12, key
        assert figures[key] - 1e-12 <= high <= 1 + 1e-12, key
    assert (intervals["confidence"], intervals["resamples"]) == (0.95, 300)


def test_the_seed_decides():
    labels, probabilities = random_predictions(0)

    def bounds(seed):
        return flat(
            bootstrap_intervals(labels, probabilities, NAMES, bootstrap=Bootstrap(200, seed=seed))
        )

    assert bounds(3) == bounds(3)
    assert bounds(3) != bounds(4)


@pytest.mark.slow
def test_more_images_narrow_and_more_confidence_widens():
    generator = np.random.default_rng(0)

    def width(images, confidence=0.95):
        labels, probabilities = Population().draw(images, generator)
        found = bootstrap_intervals(
            labels, probabilities, CLASS_NAMES, bootstrap=Bootstrap(300, confidence)
        )
        low, high = found["macro"]["f1"]
        return high - low

    assert width(3200) < 0.7 * width(400)
    assert width(800, 0.99) > 1.1 * width(800, 0.8)


def test_perfect_predictions_are_not_taken_for_certainty():
    labels, _ = random_predictions(0)
    found = bootstrap_intervals(labels, labels.astype(float), NAMES, bootstrap=QUICK)
    for c, name in enumerate(NAMES):
        support = labels[:, c].sum()
        for metric in METRICS:
            low, high = found["per_class"][name][metric]
            assert high == 1.0
            assert low == pytest.approx(0.025 ** (1 / support))
    distances = [1 - 0.025 ** (1 / n) for n in labels.sum(axis=0)]
    assert found["macro"]["f1"] == pytest.approx([1 - np.linalg.norm(distances) / 4, 1])
    assert found["subset_accuracy"][0] == pytest.approx(0.025 ** (1 / 200))


def test_undefined_figures_have_no_interval():
    labels, probabilities = random_predictions(0)
    labels[:, 1] = 0
    found = bootstrap_intervals(labels, probabilities, NAMES, bootstrap=QUICK)
    assert found["per_class"]["defect_2"]["auroc"] is None
    assert found["per_class"]["defect_2"]["average_precision"] is None
    assert found["macro"]["auroc"] is not None


def test_one_image_says_nothing():
    found = bootstrap_intervals(
        np.array([[1, 0]]), np.array([[0.9, 0.8]]), ["a", "b"], bootstrap=QUICK
    )
    assert found["subset_accuracy"] == pytest.approx([0, 0.975])
    assert found["per_class"]["b"]["precision"] == pytest.approx([0, 0.975])
    assert found["per_class"]["a"]["auroc"] is None


def test_bad_probabilities_are_refused():
    labels, probabilities = random_predictions(0)
    probabilities[0, 0] = np.nan
    with pytest.raises(InputError, match="nan"):
        bootstrap_intervals(labels, probabilities, NAMES)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    population, data_sets = Population(), 120
    generator = np.random.default_rng(0)
    labels, probabilities = population.draw(200_000, generator)
    truth = flat(classification_metrics(labels, probabilities, CLASS_NAMES))
    hits = dict.fromkeys(truth, 0)
    for seed in range(data_sets):
        labels, probabilities = population.draw(300, generator)
        found = flat(
            bootstrap_intervals(
                labels, probabilities, CLASS_NAMES, bootstrap=Bootstrap(400, seed=seed)
            )
        )
        for key, (low, high) in found.items():
            hits[key] += low <= truth[key] <= high
    coverage = {key: count / data_sets for key, count in hits.items()}
    assert 0.93 <= np.mean(list(coverage.values())) <= 0.97
    # Three standard errors of a coverage of 0.95 in this many data sets.
    assert min(coverage.values()) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / data_sets), coverage


def test_a_prediction_does_not_differ_from_itself():
    labels, probabilities = random_predictions(0)
    prediction = (probabilities, 0.5)
    for entry in flat(paired_differences(labels, prediction, prediction, NAMES, QUICK)).values():
        assert entry == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_differences_are_those_of_the_metrics_and_change_sign_when_swapped():
    labels, good = random_predictions(0)
    noise = np.random.default_rng(5).normal(0, 0.3, good.shape)
    poor = np.clip(good + noise, 0, 1)
    thresholds = dict.fromkeys(NAMES, 0.4)
    forth = flat(paired_differences(labels, (good, 0.5), (poor, thresholds), NAMES, QUICK))
    back = flat(paired_differences(labels, (poor, thresholds), (good, 0.5), NAMES, QUICK))
    first = flat(classification_metrics(labels, good, NAMES))
    second = flat(classification_metrics(labels, poor, NAMES, thresholds))
    for key, entry in forth.items():
        assert entry["difference"] == pytest.approx(first[key] - second[key], abs=1e-12)
        assert back[key]["difference"] == pytest.approx(-entry["difference"])
        low, high = entry["interval"]
        assert low - 1e-9 <= entry["difference"] <= high + 1e-9
        assert back[key]["interval"] == pytest.approx([-high, -low], abs=0.01)


def test_pairing_is_sharper_than_two_separate_intervals():
    labels, probabilities = Population().draw(600, np.random.default_rng(0))
    other = np.clip(probabilities + np.random.default_rng(1).normal(0, 0.02, labels.shape), 0, 1)
    paired = paired_differences(labels, (probabilities, 0.5), (other, 0.5), CLASS_NAMES, QUICK)
    low, high = paired["macro"]["auroc"]["interval"]
    alone = bootstrap_intervals(labels, probabilities, CLASS_NAMES, bootstrap=QUICK)
    assert high - low < 0.5 * np.diff(alone["macro"]["auroc"])[0]


@pytest.mark.slow
def test_equal_predictors_are_rarely_told_apart():
    """Two draws of scores for the same images: the truth of every difference is zero."""
    population, trials, found = Population(), 60, 0
    generator = np.random.default_rng(0)
    for _ in range(trials):
        labels, first = population.draw(300, generator)
        _, second = population.draw(300, generator)
        entry = paired_differences(labels, (first, 0.5), (second, 0.5), CLASS_NAMES, QUICK)
        low, high = entry["macro"]["f1"]["interval"]
        found += not low <= 0 <= high
    assert found <= 9  # 3 expected; 10 or more happen once in a thousand


@pytest.mark.slow
@pytest.mark.parametrize("support", [1, 2, 4])
def test_equal_predictors_are_rarely_told_apart_by_a_few_positives(support):
    """Each finds four strips in five, at random."""
    labels = np.concatenate([np.repeat(np.eye(4, dtype=int), support, axis=0), np.zeros((20, 4))])
    generator, trials, found = np.random.default_rng(0), 40, 0
    for seed in range(trials):
        first, second = (
            (np.where(labels * generator.random(labels.shape) > 0.2, 0.9, 0.1), 0.5) for _ in "ab"
        )
        once = Bootstrap(resamples=100, seed=seed)
        low, high = paired_differences(labels, first, second, NAMES, once)["macro"]["f1"][
            "interval"
        ]
        found += not low <= 0 <= high
    assert found <= 5  # 2 expected at most; 6 or more happen once in a hundred


@pytest.mark.parametrize(("deciding", "distinguishable"), [(1, False), (5, False), (9, True)])
def test_a_class_is_told_apart_by_enough_strips_only(deciding, distinguishable):
    """Only one of two models finds the strips of a class, all of them."""
    labels = np.zeros((100, 4), int)
    labels[:deciding, 0], labels[20:, 1] = 1, 1
    good = np.where(labels, 0.9, 0.1)
    poor = good.copy()
    poor[:, 0] = 0.1
    found = paired_differences(labels, (good, 0.5), (poor, 0.5), NAMES, Bootstrap(500))
    recall, macro = found["per_class"]["defect_1"]["recall"], found["macro"]["recall"]
    for whole, entry in ((1, recall), (0.25, macro)):
        low, high = entry["interval"]
        assert entry["difference"] == pytest.approx(whole)
        assert (low > 0) == distinguishable
        assert low < whole <= high
        if not distinguishable:
            assert [low, high] == pytest.approx([-whole, whole])
    # The class that both predict alike says nothing against it.
    assert found["per_class"]["defect_2"]["recall"] == {"difference": 0, "interval": [0, 0]}


def test_few_strips_do_not_hide_a_difference_of_the_other_classes():
    labels = np.zeros((200, 4), int)
    labels[0, 0], labels[20:80, 1], labels[80:200, 2] = 1, 1, 1
    good = np.where(labels, 0.9, 0.1)
    poor = good.copy()
    poor[20:150:2, 1:3] = 0.1
    found = paired_differences(labels, (good, 0.5), (poor, 0.5), NAMES, QUICK)
    assert found["macro"]["recall"]["interval"][0] > 0
    poor[0, 0] = 0.1  # the only strip of a class: it may count for either of them
    rare = paired_differences(labels, (good, 0.5), (poor, 0.5), NAMES, QUICK)["macro"]["recall"]
    assert rare["difference"] == pytest.approx(found["macro"]["recall"]["difference"] + 0.25)
    assert rare["interval"][0] < 0


def test_swaps_take_no_notice_of_another_scale_of_the_probabilities():
    labels, good = random_predictions(0)
    poor = np.clip(good + np.random.default_rng(5).normal(0, 0.3, good.shape), 0, 1)
    expected = paired_differences(labels, (good, 0.5), (poor, 0.5), NAMES, QUICK)
    scaled = paired_differences(labels, (good, 0.5), (poor / 20, 0.025), NAMES, QUICK)
    for key, entry in flat(scaled).items():
        assert entry["interval"] == pytest.approx(flat(expected)[key]["interval"])


def test_a_macro_interval_is_as_unsure_as_its_classes():
    labels = np.zeros((1000, 4), int)
    labels[0:2, 0], labels[2:4, 1], labels[4:6, 2], labels[100:400, 3] = 1, 1, 1, 1
    scores = np.where(labels, 0.9, 0.1)
    scores[100:110, 3] = 0.2
    found = bootstrap_intervals(labels, scores, NAMES, bootstrap=QUICK)
    low, high = found["macro"]["f1"]
    assert low < 1 - (1 - found["per_class"]["defect_1"]["f1"][0]) * np.sqrt(3) / 4
    assert 0.99 < high <= 1


@pytest.mark.parametrize("positives", [1, 2, 5])
def test_intervals_of_average_precision_cover_the_truth_of_few_positives(positives):
    """Of a population with the same share of positives, whose AP is below that of samples."""
    generator, trials, covered = np.random.default_rng(1), 50, 0

    def drawn(copies):
        labels = np.repeat([1, 0], [copies * positives, copies * 100])
        return labels, generator.normal(1.5 * labels)

    truth = average_precision_score(*drawn(1000))
    for seed in range(trials):
        labels, scores = drawn(1)
        once = Bootstrap(resamples=100, seed=seed)
        found = bootstrap_intervals(labels[:, None], expit(scores)[:, None], ["pit"], 0.5, once)
        low, high = found["per_class"]["pit"]["average_precision"]
        covered += low <= truth <= high
    assert covered >= 44  # 47.5 expected; fewer happen once in thirty


def test_one_positive_says_nothing_of_an_average_precision():
    assert average_precision_bounds(0.4, 1, 0.95) == [0, 1]
    reach = 1.959964 / np.sqrt(4 * 0.3 * 0.7)
    low, high = average_precision_bounds(0.3, 4, 0.95)
    for bound, side in ((low, -1), (high, 1)):
        assert np.log(bound / (1 - bound)) == pytest.approx(np.log(3 / 7) + side * reach)


@pytest.mark.parametrize("trials", [1, 5, 37, 900])
def test_exact_bounds_equal_clopper_and_pearson(trials):
    for successes in (0, trials):
        expected = binomtest(successes, trials).proportion_ci(0.95, method="exact")
        assert exact_bounds(successes / trials, trials, 0.95) == pytest.approx(list(expected))
    assert exact_bounds(0.4, trials, 0.95) == [0.0, 1.0]
    assert exact_bounds(0.0, 0, 0.95) == [0.0, 1.0]


def test_score_bounds_of_auroc_are_where_the_observed_value_is_just_within_reach():
    value, positives, negatives = 0.93, 34, 800
    for bound in auroc_score_bounds(value, positives, negatives, 0.95):
        q1, q2 = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        half = (positives + negatives) / 2 - 1
        # Hanley and McNeil's own form, with both sample sizes replaced by their mean.
        variance = bound * (1 - bound) + half * (q1 - bound**2 + q2 - bound**2)
        reach = 1.959964 * np.sqrt(variance / (positives * negatives))
        assert abs(bound - value) == pytest.approx(reach, abs=1e-3)


def test_symmetric_resamples_of_equal_images_give_plain_percentiles():
    generator = np.random.default_rng(0)
    replicates = generator.normal(0.7, 0.01, 20_000)
    left_out = 0.7 + np.tile([1e-4, -1e-4], 5000)
    low, high = bootstrap_bounds(0.7, replicates, left_out, 0.95)
    assert [low, high] == pytest.approx([0.7 - 0.0196, 0.7 + 0.0196], abs=6e-4)


@pytest.mark.parametrize("statistic", [np.mean, np.var])
def test_bounds_equal_scipy_bca_at_student_quantiles(statistic):
    images, resamples = 80, 20_000
    sample = np.random.default_rng(3).exponential(size=images)
    value = statistic(sample)
    drawn = sample[np.random.default_rng(1).integers(0, images, (resamples, images))]
    left_out = np.array([statistic(np.delete(sample, i)) for i in range(images)])
    found = bootstrap_bounds(value, statistic(drawn, axis=1), left_out, 0.95)
    squares = (value - left_out) ** 2
    reach = student.ppf(0.975, 2 / (np.sum(squares**2) / squares.sum() ** 2 - 1 / images))
    expected = bootstrap(
        (sample,),
        statistic,
        method="BCa",
        n_resamples=resamples,
        confidence_level=2 * norm.cdf(reach) - 1,
        rng=np.random.default_rng(2),
    )
    assert found == pytest.approx(list(expected.confidence_interval), abs=0.015)


def test_one_image_that_decides_everything_widens_the_interval():
    replicates = np.random.default_rng(0).normal(0.7, 0.01, 20_000)
    evenly = 0.7 + np.tile([1e-4, -1e-4], 50)
    unevenly = 0.7 + np.r_[np.tile([1e-5, -1e-5], 49), 1e-3, -1e-3]
    wide = np.diff(bootstrap_bounds(0.7, replicates, unevenly, 0.95))
    # Four degrees of freedom: Student's quantile is 2.78 where the normal one is 1.96.
    assert wide > 1.35 * np.diff(bootstrap_bounds(0.7, replicates, evenly, 0.95))
    assert bootstrap_bounds(0.7, np.full(100, 0.7), evenly, 0.95) is None


@pytest.mark.parametrize("copied", [np.repeat, np.tile])
@pytest.mark.parametrize("copies", [2, 5])
def test_copies_in_groups_leave_every_interval_as_it_was(copied, copies):
    labels, probabilities = random_predictions(3, 90)
    labels[:, 2] = labels[:, 0]  # a class that is always right, and one with few positives
    probabilities[:, 2] = labels[:, 2] * 0.9
    labels[5:, 1] = 0
    rows = copied(np.arange(90), copies)
    many = labels[rows], probabilities[rows]
    grouped = Bootstrap(300, seed=1, groups=rows)
    expected = bootstrap_intervals(labels, probabilities, NAMES, bootstrap=QUICK)
    found = bootstrap_intervals(*many, NAMES, bootstrap=grouped)
    assert (found["unit"], found["num_units"]) == ("groups", 90)
    for key, bounds in flat(expected).items():
        np.testing.assert_allclose(flat(found)[key], bounds, atol=1e-9, err_msg=str(key))
    # Without groups, copies count as if they were more evidence.
    alone = bootstrap_intervals(*many, NAMES, bootstrap=QUICK)
    low, high = expected["macro"]["average_precision"]
    narrow_low, narrow_high = alone["macro"]["average_precision"]
    assert narrow_high - narrow_low < 0.9 * (high - low)
    other = np.roll(probabilities, 1, axis=0)
    pairs = [((probabilities, 0.5), (other, 0.5)), ((many[1], 0.5), (other[rows], 0.5))]
    expected = flat(paired_differences(labels, *pairs[0], NAMES, QUICK))
    found = flat(paired_differences(many[0], *pairs[1], NAMES, grouped))
    for key, entry in expected.items():
        np.testing.assert_allclose(found[key]["interval"], entry["interval"], atol=1e-9)


def test_groups_of_one_image_each_are_images_to_the_last_digit():
    labels, probabilities = random_predictions(4, 80)
    alone = Bootstrap(300, seed=1, groups=np.random.default_rng(0).permutation(80))
    expected = bootstrap_intervals(labels, probabilities, NAMES, bootstrap=QUICK)
    assert bootstrap_intervals(labels, probabilities, NAMES, bootstrap=alone) == expected
    assert (expected["unit"], expected["num_units"]) == ("images", 80)


def test_a_group_is_drawn_and_left_out_whole():
    labels, _ = random_predictions(5, 60)
    groups = np.arange(60) % 25 + 100
    units = Units.of(labels, groups)
    assert units.labels.shape == (25, labels.shape[1])
    chunks = [*bootstrap_weights(units, 40, np.random.default_rng(0)), *jackknife_weights(units)]
    for weights in chunks:
        for group in np.unique(groups):
            rows = weights[groups == group]
            np.testing.assert_array_equal(rows, np.broadcast_to(rows[0], rows.shape))
    left_out = np.concatenate(list(jackknife_weights(units)), axis=1) == 0
    assert {len(np.unique(groups[column])) for column in left_out.T} == {1}
    # A group shows what any of its images shows.
    first = groups == groups[0]
    np.testing.assert_array_equal(units.labels[0], labels[first].any(axis=0))


@pytest.mark.slow
def test_intervals_over_groups_cover_the_truth_where_those_over_images_do_not():
    """Six photographs of each piece, all of which are right or wrong together."""
    truth, covered = 0.7, {"images": 0, "groups": 0}
    groups = np.repeat(np.arange(60), 6)
    for seed in range(150):
        found = np.random.default_rng(seed).random(60) < truth
        labels = np.ones((360, 1), int)
        scores = np.where(found, 0.9, 0.1)[groups][:, None]
        for unit, given_groups in (("images", None), ("groups", groups)):
            bootstrap = Bootstrap(200, seed=seed, groups=given_groups)
            bounds = bootstrap_intervals(labels, scores, ["pit"], bootstrap=bootstrap)
            low, high = bounds["per_class"]["pit"]["recall"]
            covered[unit] += low <= truth <= high
    assert covered["groups"] >= 0.9 * 150
    assert covered["images"] <= 0.7 * 150
