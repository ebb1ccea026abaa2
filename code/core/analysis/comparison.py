"""Experiments side by side: figures, what differs between them, and which is better."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.analysis.differences import config_differences, labels
from core.analysis.pairs import Pair, compare_pair
from core.analysis.ranking import FigureKey, figure_keys, filtered, find_figure, ranked
from core.analysis.seeds import SeedSummary, summarise_seeds
from core.analysis.text_tables import number
from core.errors import InputError
from core.experiments.finding import find_experiments
from core.experiments.predictions import images_key, split_key
from core.experiments.reading import RESULTS_DIR, TRAINING, Experiment, read_all
from core.experiments.schema import NOVELTY
from core.metrics.intervals import Bootstrap

# A paired comparison takes a second or two, and the best of more than this is mostly luck.
MOST_PAIRED = 10


@dataclass(frozen=True)
class Group:
    """Experiments tested on the same images, best first."""

    label: str
    num_images: int
    experiments: list[Experiment]


@dataclass(frozen=True)
class Comparison:
    """What `compare_results` found.

    `labels` holds the short name of each experiment by its path. `differences` maps each key that
    differs to its values, and each value to the experiments that have it. `problems` names the
    experiments that could not be used, `notes` what was not compared and why. `pretrainings` have
    no classes, and are therefore in no group.
    """

    sort: str
    key: FigureKey
    groups: list[Group]
    labels: dict[str, str]
    differences: dict[str, dict[str, list[str]]]
    pairs: list[Pair]
    seeds: list[SeedSummary]
    problems: list[str]
    notes: list[str]
    pretrainings: list[Experiment] = field(default_factory=list)

    @property
    def experiments(self) -> list[Experiment]:
        """Group after group, best first in each."""
        return [experiment for group in self.groups for experiment in group.experiments]


def compare_results(
    experiments: Sequence[Path | str | Mapping[str, Any]] = (),
    *,
    results_dir: Path | str = RESULTS_DIR,
    sort: str = "macro_f1",
    filters: Iterable[str] = (),
    bootstrap: Bootstrap | None = None,
) -> Comparison:
    """Compare experiments, by default all in `results_dir`.

    Each is given by a folder, a name, or the content of its results.json, such as `load_json` has.
    Those tested on the same images are ranked, and each is compared with the best of them. What
    cannot be read is left out and named. Raises InputError where there is nothing to compare, and
    for an unknown figure or filter.
    """
    loaded = [each for each in experiments if isinstance(each, Mapping)]
    named = [each for each in experiments if not isinstance(each, Mapping)]
    paths = find_experiments(named, results_dir) if named or not loaded else []
    found, problems = read_all([*paths, *loaded])
    matching = filtered(found, filters)
    chosen = [one for one in matching if one.kind == TRAINING]
    pretrainings = [one for one in matching if one.is_pretraining]
    key = find_figure(sort, [one for one in found if one.kind == TRAINING])
    images = _test_images(chosen)
    groups = _groups(chosen, images, key)
    called = dict(zip((str(one.path) for one in chosen), labels(chosen), strict=True))
    pairs, notes = _pairs(groups, called, sort, key, bootstrap or Bootstrap())
    if len(groups) > 1:
        sets = f"{groups[0].label} to {groups[-1].label}"
        sets = f"{len(groups)} different sets of test images ({sets})"
        notes = [f"{sets}: ranked within each set only", *notes]
    notes += detector_notes(matching)
    classes = dict.fromkeys(name for one in chosen for name in one.class_names)
    seeds = summarise_seeds(chosen, images, figure_keys(classes))
    differences = config_differences(chosen)
    return Comparison(
        sort, key, groups, called, differences, pairs, seeds, problems, notes, pretrainings
    )


def _test_images(experiments: Sequence[Experiment]) -> dict[str, str]:
    """What names the test images of each experiment; equal splits are read once."""
    known: dict[str, str] = {}
    images = {}
    for experiment in experiments:
        split = split_key(experiment)
        if split not in known:
            known[split] = images_key(experiment)
        images[str(experiment.path)] = known[split]
    return images


def _groups(
    experiments: Sequence[Experiment], images: dict[str, str], key: FigureKey
) -> list[Group]:
    together: dict[str, list[Experiment]] = {}
    for experiment in ranked(experiments, key):
        together.setdefault(images[str(experiment.path)], []).append(experiment)
    # The largest group first; sorting is stable, so equal ones are in order of their best.
    members = sorted(together.values(), key=len, reverse=True)
    return [
        Group(_letters(position), int(group[0].results["test"]["num_images"]), group)
        for position, group in enumerate(members)
    ]


def _pairs(
    groups: Sequence[Group],
    called: Mapping[str, str],
    sort: str,
    key: FigureKey,
    bootstrap: Bootstrap,
) -> tuple[list[Pair], list[str]]:
    paired = [group for group in groups if len(group.experiments) > 1]
    total = sum(len(group.experiments) for group in paired)
    if total > MOST_PAIRED:
        return [], [
            f"{total} experiments: name or filter at most {MOST_PAIRED} to have each compared "
            "with the best, image by image"
        ]
    pairs, notes = [], []
    for group in paired:
        best, *others = group.experiments
        for other in others:
            try:
                pair = compare_pair(best, other, sort, key, bootstrap)
                pairs.append(
                    replace(pair, labels=(called[str(best.path)], called[str(other.path)]))
                )
            except InputError as error:
                notes.append(f"not compared: {error}")
        if len(others) > 1:
            notes.append(
                f"{called[str(best.path)]} was chosen as the best of {len(group.experiments)} on "
                "the test images themselves, so its lead is overestimated; the intervals do not "
                "show this"
            )
    return pairs, notes


def _letters(position: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    before, letter = divmod(position, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + letter)


def detector_notes(experiments: Iterable[Experiment]) -> list[str]:
    """One line for each detector, which has no classes and is compared with no training."""
    return [
        f"{one.name}: a detector of novelty, {one.look_up('detector', 'type')}, not ranked; AUROC "
        f"{number(one.look_up('test', 'any_defect', 'auroc'))}, high_pass "
        f"{number(one.look_up('baseline', 'test', 'any_defect', 'auroc'))}"
        for one in experiments
        if one.kind == NOVELTY
    ]
