"""Which trainings on given labels and on corrected ones are alike in all else."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.analysis.differences import NAMES, differing_values
from core.analysis.seeds import SEED
from core.errors import InputError
from core.experiments.finding import created_at
from core.experiments.reading import TRAINING, Experiment
from core.files.reading import read_bytes
from core.files.tables import read_records

MIN_SEEDS = 3
CORRECTIONS = "data.corrections"
SPLIT_FILE = "split.csv"
_MOST_BYTES = 1 << 30
# The splits are compared themselves: a stratified one of corrected labels is another.
_FREE = {*NAMES, SEED, CORRECTIONS, "data.split_strategy", "data.split_file"}


@dataclass(frozen=True)
class Pairing:
    """Trainings on given and on corrected labels, of the same seeds and splits in this order.

    `left_out` says of each other experiment why it has no partner.
    """

    given: tuple[Experiment, ...]
    corrected: tuple[Experiment, ...]
    left_out: tuple[str, ...] = ()

    @property
    def seeds(self) -> list[object]:
        """The seed of each pair."""
        return [one.config.get(SEED) for one in self.given]

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of the data set with its given labels."""
        return fingerprint_of(self.corrected[0])

    @property
    def title(self) -> str:
        """What it is called where several are listed."""
        one = self.corrected[0]
        seeds = ", ".join(map(str, self.seeds))
        return f"{one.look_up('model', 'name')}, {one.name} and others, seeds {seeds}"


def is_corrected(experiment: Experiment) -> bool:
    """Whether it was trained with `data.corrections`."""
    return bool(experiment.look_up("data", "corrections"))


def fingerprint_of(experiment: Experiment) -> str:
    """The fingerprint of the data set with its given labels."""
    given = experiment.look_up("data", "corrections", "given_fingerprint")
    return str(given or experiment.look_up("data", "fingerprint"))


def pair(given: Sequence[Experiment], corrected: Sequence[Experiment]) -> Pairing:
    """The pairs of these experiments.

    Raises:
        InputError: an experiment that does not belong here, configs that differ in more than
            corrections, or fewer than three seeds that match.
    """
    if not given or not corrected:
        lacking = "--corrected" if given else "--given"
        raise InputError(f"{lacking}: no experiment; expected {MIN_SEEDS} or more")
    for one in (*given, *corrected):
        _check_kind(one, one in corrected)
    first = given[0]
    for other in (*given[1:], *corrected):
        if fingerprint_of(other) != fingerprint_of(first):
            raise InputError(
                f"{other.name}: was trained on other data than {first.name} (fingerprints "
                f"{fingerprint_of(other)[:12]} and {fingerprint_of(first)[:12]}): expected one "
                "data set"
            )
        if keys := differing_keys(first, other):
            raise InputError(
                f"{other.name}: its config differs from that of {first.name} in more than "
                f"corrections: {', '.join(keys)}; expected the same values: train with those"
            )
    _check_same_decisions(corrected)
    return _complete(_matched(given, corrected))


def find_pairings(experiments: Iterable[Experiment]) -> tuple[list[Pairing], list[str]]:
    """Every pairing that the experiments hold, and one line for each that is not complete."""
    usable = [one for one in experiments if one.kind == TRAINING and not one.look_up("folds")]
    given = [one for one in usable if not is_corrected(one)]
    pairings, problems = [], []
    for corrected in _of_one_config(filter(is_corrected, usable)):
        same_data = [one for one in given if fingerprint_of(one) == fingerprint_of(corrected[0])]
        alike = [one for one in same_data if not differing_keys(one, corrected[0])]
        if not alike:
            problems.append(_without_partner(corrected, same_data))
            continue
        found, lacking = [], []
        for trained in _of_same_decisions(corrected):
            try:
                found.append(_complete(_matched(alike, trained)))
            except InputError as error:
                lacking.append(str(error))
        try:
            _check_same_decisions(corrected if lacking and not found else ())
        except InputError as error:
            lacking = [str(error)]
        pairings += found
        problems += lacking
    return pairings, problems


def _of_one_config(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    groups: dict[str, list[Experiment]] = {}
    for one in experiments:
        values = sorted((key, repr(value)) for key, value in _compared(one).items())
        groups.setdefault(repr((fingerprint_of(one), values)), []).append(one)
    return list(groups.values())


def _of_same_decisions(corrected: Iterable[Experiment]) -> list[list[Experiment]]:
    groups: dict[object, list[Experiment]] = {}
    for one in corrected:
        groups.setdefault(one.look_up("data", "corrections", "sha256"), []).append(one)
    return list(groups.values())


def differing_keys(one: Experiment, other: Experiment) -> list[str]:
    """The keys of the config that differ beside seed, corrections, split and names."""
    own, others = _compared(one), _compared(other)
    return [key for key in differing_values([one, other]) if own.get(key) != others.get(key)]


def _compared(one: Experiment) -> dict[str, object]:
    return {key: value for key, value in one.config.items() if key not in _FREE}


def _check_kind(one: Experiment, wants_corrections: bool) -> None:
    if one.look_up("folds"):
        raise InputError(
            f"{one.name}: is a cross-validation, whose folds depend on the labels: expected "
            "trainings with one split"
        )
    if is_corrected(one) != wants_corrections:
        now = "with data.corrections" if is_corrected(one) else "on the given labels"
        option, other = ("corrected", "given") if wants_corrections else ("given", "corrected")
        raise InputError(f"--{option} {one.name}: was trained {now}: give it as --{other}")


def _check_same_decisions(corrected: Sequence[Experiment]) -> None:
    for first, other in itertools.pairwise(corrected):
        if len(_of_same_decisions([first, other])) > 1:
            raise InputError(
                f"{other.name}: was trained with other decisions than {first.name}: expected the "
                "same for all seeds: export them first, by code/corrections.py export"
            )


def _matched(given: Sequence[Experiment], corrected: Sequence[Experiment]) -> Pairing:
    """One pair for each seed and split that both have; of several alike, the newest."""
    sides = [_by_seed_and_split(side) for side in (given, corrected)]
    keys = sorted(sides[0].keys() & sides[1].keys(), key=str)
    left_out = []
    for own, other in (sides, sides[::-1]):
        seeds = {seed: one for (seed, _), one in other.items()}
        for key in sorted(own.keys() - other.keys(), key=str):
            why = f"no partner has seed {key[0]}"
            if key[0] in seeds:
                partner = seeds[key[0]]
                why = f"its split is not that of {partner.name}, with the same seed"
            left_out.append(f"{own[key].name}: {why}")
    return Pairing(*(tuple(side[key] for key in keys) for side in sides), tuple(left_out))


def _by_seed_and_split(side: Sequence[Experiment]) -> dict[tuple[object, str], Experiment]:
    ordered = sorted(side, key=lambda one: created_at(one.path))
    return {(one.config.get(SEED), _split_of(one)): one for one in ordered}


def _split_of(one: Experiment) -> str:
    """What names the part of each image."""
    rows = read_bytes(one.path / SPLIT_FILE, _MOST_BYTES).splitlines()
    return hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()


def training_strips(one: Experiment) -> set[str]:
    """The images of the training part."""
    rows = read_records(one.path / SPLIT_FILE, ("image_id", "split"))
    return {row["image_id"] for _, row in rows if row["split"] == "train"}


def _complete(found: Pairing) -> Pairing:
    if len(found.given) >= MIN_SEEDS:
        return found
    why = "; ".join(found.left_out[:4]) or "train with more seeds"
    raise InputError(
        f"seeds: {len(found.given)} match, in experiment.seed and in the split; expected "
        f"{MIN_SEEDS} or more: {why}. Train with data.split_strategy=file and one data.split_file"
    )


def _without_partner(corrected: Sequence[Experiment], same_data: Sequence[Experiment]) -> str:
    name = corrected[0].name
    if not same_data:
        return f"{name}: no experiment was trained on the given labels of its data set"
    nearest = min(same_data, key=lambda one: len(differing_keys(one, corrected[0])))
    return (
        f"{name}: no experiment on the given labels has the same config; {nearest.name} differs in "
        f"{', '.join(differing_keys(nearest, corrected[0]))}"
    )
