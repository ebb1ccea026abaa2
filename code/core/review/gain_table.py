"""What corrected labels are worth, as rows and sentences: for the terminal and for a page."""

from collections.abc import Sequence
from pathlib import Path

from core.analysis.differences import BEYOND_CONFIG, differing_values
from core.analysis.text_tables import aligned, class_title, interval_text, number
from core.errors import InputError
from core.experiments.finding import find_experiments
from core.experiments.reading import TRAINING, Experiment, read_all, read_experiment
from core.files.escaping import for_terminal
from core.review.gain import FEW_POSITIVES, METRICS, Measured, Scored, measure
from core.review.paired_gains import NO_DIFFERENCE, Gain
from core.review.pairing import MIN_SEEDS, find_pairings, fingerprint_of, pair
from core.review.store import ReviewStore

HEADER = ["figure", "given", "corrected", "corrected - given", "verdict", "positives"]
SCORED_BY = ("the reviewed labels", "the given labels of the same strips")
CAUTION = (
    "Only labels of the blind random sample score both models. Test labels that were corrected "
    "where a model disagrees are left out: they would flatter it."
)
_TITLES = {"average_precision": "AP", "f1": "F1"}


def change_text(gain: Gain) -> str:
    """+0.012 [-0.003, 0.027]"""
    return f"{gain.difference:+.3f} {interval_text(gain.interval)}"


def gain_tables(found: Measured) -> list[tuple[str, list[list[str]]]]:
    """For each set of labels that scores: what it is, and a row for each figure below a header.

    The columns given and corrected are named by the labels that were trained on.
    """
    return list(zip(SCORED_BY, map(_rows, (found.on_reviewed, found.on_given)), strict=True))


def _rows(scored: Scored) -> list[list[str]]:
    rows = [HEADER]
    for key, gain in scored.gains.items():
        is_macro = key[0] == "macro"
        title = f"{'macro' if is_macro else class_title(key[1])} {_TITLES[key[-1]]}"
        positives = "" if is_macro else str(scored.positives[key[1]])
        cells = ["-", "-", "-", "undefined"]
        if gain is not None:
            cells = [number(gain.before), number(gain.after), change_text(gain), gain.verdict]
        rows.append([title, *cells, positives])
    return rows


def headline(found: Measured) -> str:
    """The verdict on macro AP and macro F1 in one sentence."""
    said = []
    for metric in METRICS:
        gain, title = found.on_reviewed.gains["macro", metric], f"macro {_TITLES[metric]}"
        if gain is None:
            said.append(f"{title} is undefined")
        elif gain.is_shown:
            said.append(f"{title} is {gain.verdict} by {abs(gain.difference):.3f}")
        else:
            said.append(f"{title}: {NO_DIFFERENCE}")
    return f"With corrected labels, {'; '.join(said)}."


def notes(found: Measured) -> list[str]:
    """What the figures rest on, and what they do not say."""
    seeds = ", ".join(map(str, found.pairing.seeds))
    lines = [
        f"Scored on {found.num_strips} test strips of the random sample, {found.num_changed} of "
        f"them changed by the review. It also changed {found.num_learned} training strips. Seeds "
        f"{seeds}.",
        CAUTION,
        "F1 is at the thresholds of each model. Intervals of 95 % are of the mean difference over "
        f"other strips and other seeds; where they hold zero, {NO_DIFFERENCE}.",
        f"Of {len(found.on_reviewed.gains)} figures, one may seem to differ by chance: believe the "
        "macro figures first.",
    ]
    if found.has_gone_on:
        lines.append("The review has gone on since: the trainings had other decisions.")
    if found.num_open:
        lines.append(
            f"Left out, since not every class is decided blind: {found.num_open} strips, which may "
            "be the hardest."
        )
    if found.num_waiting:
        lines.append(
            f"{found.num_waiting} more test strips are in the random sample: reviewed, they would "
            "make the intervals narrower."
        )
    rare = [
        class_title(name)
        for name, count in found.on_reviewed.positives.items()
        if count < FEW_POSITIVES
    ]
    if rare:
        lines.append(
            f"Fewer than {FEW_POSITIVES} strips show {', '.join(rare)}: their figures say little."
        )
    return [*lines, *_other_versions(found), *found.pairing.left_out]


def _other_versions(found: Measured) -> list[str]:
    everyone = [*found.pairing.given, *found.pairing.corrected]
    differing = differing_values(everyone)
    keys = [".".join(key) for key in BEYOND_CONFIG if key[0] == "environment"]
    return [
        f"{key} differs between the experiments: {', '.join(dict.fromkeys(differing[key]))}."
        for key in keys
        if key in differing
    ]


def gain_document(
    store: ReviewStore, given: Sequence[str], corrected: Sequence[str], results_dir: Path
) -> str:
    """The tables of these experiments, or of all pairings in `results_dir` where none is named.

    Raises:
        InputError: named experiments that cannot be compared so.
    """
    if given or corrected:
        sides = [find_experiments(side, results_dir) if side else [] for side in (given, corrected)]
        return _text(measure(pair(*([*map(read_experiment, side)] for side in sides)), store))
    read, _ = read_all(find_experiments((), results_dir))
    pairings, problems = find_pairings(one for one in read if _is_about(one, store))
    blocks = []
    for pairing in pairings:
        try:
            blocks.append(_text(measure(pairing, store)))
        except InputError as error:
            problems.append(str(error))
    if not blocks + problems:
        problems = [
            f"{results_dir}: no experiment with data.corrections on the data set of {store.path}: "
            f"train with data.corrections={store.path}, and without, for {MIN_SEEDS} seeds"
        ]
    return "\n\n".join(blocks + [f"Not compared: {problem}" for problem in problems])


def _is_about(one: Experiment, store: ReviewStore) -> bool:
    return one.kind == TRAINING and fingerprint_of(one) == store.fingerprint()


def _text(found: Measured) -> str:
    lines = [found.pairing.title, headline(found)]
    for title, rows in gain_tables(found):
        lines += ["", f"Scored by {title}:", ""]
        lines += aligned([list(map(for_terminal, row)) for row in rows])
    return "\n".join([*lines, "", *notes(found)])
