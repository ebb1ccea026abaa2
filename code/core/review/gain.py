"""What training with corrected labels is worth, on test labels that were reviewed at random.

The labels that score both models come from the blind random sample of a review alone. Test labels
that were corrected where a model disagrees would flatter that model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.analysis.decisions import chosen_thresholds
from core.errors import InputError
from core.experiments.predictions import Predictions, read_predictions
from core.experiments.reading import Experiment
from core.metrics.intervals import Bootstrap
from core.metrics.resampling import FigureKey
from core.review.decisions import Entry
from core.review.leases import Shares, chosen
from core.review.overlay import of_store
from core.review.paired_gains import Gain, Seed, paired_gains
from core.review.pairing import Pairing, training_strips
from core.review.store import ReviewStore
from core.review.verdicts import current_verdicts

MIN_STRIPS = 30
METRICS = ("average_precision", "f1")
FEW_POSITIVES = 10


@dataclass(frozen=True)
class Scored:
    """Figures by one set of labels, and how many strips show each class by these.

    A figure that is undefined is None.
    """

    positives: Mapping[str, int]
    gains: Mapping[FigureKey, Gain | None]


@dataclass(frozen=True)
class Measured:
    """The figures of a pairing on the reviewed test strips.

    `on_reviewed` is scored by the labels of the review, `on_given` by the given labels of the same
    strips.
    `num_changed` strips have a label that the review changed, `num_open` are left out because they
    are not decided in every class, and `num_waiting` of the sample are not reviewed yet.
    `num_learned` training strips, at least, have a changed label; `has_gone_on` says that there are
    other decisions now than those that were trained with.
    """

    pairing: Pairing
    num_strips: int
    num_changed: int
    num_open: int
    num_waiting: int
    num_learned: int
    has_gone_on: bool
    on_reviewed: Scored
    on_given: Scored


@dataclass(frozen=True)
class _Sample:
    """The strips of the random sample among some test strips.

    `labels` has those that are decided in every class. Shape of each: (classes,).
    """

    labels: Mapping[str, tuple[int, ...]]
    num_open: int
    num_waiting: int


def measure(pairing: Pairing, store: ReviewStore, bootstrap: Bootstrap | None = None) -> Measured:
    """What the corrections are worth.

    Raises:
        InputError: a store about other data, predictions that cannot be read, no training strip
            with a changed label, or too few test strips of the random sample that are decided.
    """
    _check_store(pairing, store)
    entries, names = store.entries(), pairing.given[0].class_names
    num_learned = _num_learned(pairing, entries, store)
    before, after = _read_parts(pairing)
    sample = _sample(entries, before, names, pairing.fingerprint)
    for part in before:
        _check_enough(sum(name in sample.labels for name in part.image_ids), part, sample, pairing)
    place = {name: row for row, name in enumerate(sorted(sample.labels))}
    reviewed = np.array([sample.labels[name] for name in place])
    given = _gathered(before, place, [part.labels for part in before])
    seeds = [
        _seed(place, *each)
        for each in zip(pairing.given, before, pairing.corrected, after, strict=True)
    ]
    groups = [part.groups for part in before]
    grouped = None if any(each is None for each in groups) else _gathered(before, place, groups)
    how = replace(bootstrap or Bootstrap(), groups=grouped)
    trained = pairing.corrected[0].look_up("data", "corrections", "sha256")
    return Measured(
        pairing,
        len(place),
        int((reviewed != given).any(axis=1).sum()),
        sample.num_open,
        sample.num_waiting,
        num_learned,
        of_store(store).sha256() != trained,
        *(_scored(labels, names, seeds, how) for labels in (reviewed, given)),
    )


def _read_parts(pairing: Pairing) -> tuple[list[Predictions], list[Predictions]]:
    """The test parts of both sides, of the same strips and classes."""
    before, after = (
        [read_predictions(one) for one in side] for side in (pairing.given, pairing.corrected)
    )
    names = pairing.given[0].class_names
    for own, other, one in zip(before, after, pairing.corrected, strict=True):
        if own.image_ids != other.image_ids or one.class_names != names:
            raise InputError(f"{one.path}: has other test strips or classes than its partner")
    return before, after


def _scored(
    labels: np.ndarray, names: Sequence[str], seeds: Sequence[Seed], bootstrap: Bootstrap
) -> Scored:
    figures = [("macro", metric) for metric in METRICS]
    figures += [("per_class", name, metric) for name in names for metric in METRICS]
    positives = dict(zip(names, labels.sum(axis=0).tolist(), strict=True))
    return Scored(positives, paired_gains(labels, names, seeds, figures, bootstrap))


def _check_store(pairing: Pairing, store: ReviewStore) -> None:
    known = store.fingerprint()
    if known != pairing.fingerprint:
        about = f"the data set with fingerprint {known[:12]}" if known else "no data set yet"
        raise InputError(
            f"{store.path}: holds decisions about {about}, and {pairing.given[0].name} was trained "
            f"on {pairing.fingerprint[:12]}: expected those of its data set"
        )


def _num_learned(pairing: Pairing, entries: Sequence[Entry], store: ReviewStore) -> int:
    """On how many training strips the review changed a label, in the split with the fewest."""
    changed = {verdict.image_id for verdict in current_verdicts(entries) if verdict.is_changed}
    number = min(len(changed & training_strips(one)) for one in pairing.given)
    if not number:
        raise InputError(
            f"{store.path}: changed no label of a training strip of {pairing.given[0].name}, so "
            "both models learned the same: review the predictions of a cross-validation, which has "
            "predicted every strip, or train on another split"
        )
    return number


def _sample(
    entries: Sequence[Entry], parts: Sequence[Predictions], names: Sequence[str], fingerprint: str
) -> _Sample:
    """Of the strips of these test parts, what was decided blind in the random sample."""
    tested = {name for part in parts for name in part.image_ids}
    blind = [entry for entry in entries
             if entry.blind and entry.sample == "random" and entry.image_id in tested]  # fmt: skip
    decided: dict[str, dict[str, int]] = {entry.image_id: {} for entry in blind}
    for verdict in current_verdicts(blind):
        if verdict.state == "decided":
            decided[verdict.image_id][verdict.class_name] = verdict.label
    labels = {
        image_id: tuple(by_class[name] for name in names)
        for image_id, by_class in decided.items()
        if all(name in by_class for name in names)
    }
    drawn = {name for name in tested if chosen(fingerprint, name, Shares().random, "random")}
    reviewed = {entry.image_id for entry in entries}
    num_open = len((drawn & reviewed) | decided.keys()) - len(labels)
    return _Sample(labels, num_open, len(drawn - reviewed))


def _check_enough(number: int, part: Predictions, sample: _Sample, pairing: Pairing) -> None:
    if number >= MIN_STRIPS:
        return
    tested, share = len(part.image_ids), Shares().random
    counted = (
        f"{number} of {tested} test strips are decided in the blind random sample; expected "
        f"{MIN_STRIPS} or more"
    )
    if number + sample.num_waiting >= MIN_STRIPS:
        raise InputError(
            f"{counted}: {sample.num_waiting} more wait on the page Review of code/workbench.py, "
            f"with the predictions of {pairing.given[0].name}, and first the random sample"
        )
    raise InputError(
        f"{counted}, and the sample has {sample.num_waiting} more: one strip in "
        f"{round(1 / share)} is drawn, so the test part should have {round(MIN_STRIPS / share)} "
        "strips or more"
    )


def _rows(part: Predictions, place: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the reviewed strips of a part are among all of them, and in the part."""
    found = [(place[name], row) for row, name in enumerate(part.image_ids) if name in place]
    return tuple(np.array(found).T)


def _seed(
    place: Mapping[str, int],
    given: Experiment, before: Predictions, corrected: Experiment, after: Predictions,
) -> Seed:  # fmt: skip
    rows, own = _rows(before, place)
    return Seed(
        rows,
        (before.probabilities[own], chosen_thresholds(given)),
        (after.probabilities[own], chosen_thresholds(corrected)),
    )


def _gathered(
    parts: Sequence[Predictions], place: Mapping[str, int], values: Sequence[np.ndarray]
) -> np.ndarray:
    """The values of the reviewed strips, from whichever part has each."""
    gathered = np.zeros((len(place), *values[0].shape[1:]), int)
    for part, each in zip(parts, values, strict=True):
        rows, own = _rows(part, place)
        gathered[rows] = each[own]
    return gathered
