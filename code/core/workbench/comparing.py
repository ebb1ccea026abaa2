"""Several experiments beside each other, as `compare.py` compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.analysis.comparison import Comparison, compare_results
from core.analysis.comparison_document import headline_rows, ranks, seed_rows
from core.analysis.differences import ABSENT, differing_values
from core.analysis.pretrainings import pretraining_rows
from core.analysis.ranking import figure_keys
from core.experiments.reading import Experiment
from core.workbench.summary import shown

MOST_COMPARED = 50


def compare(paths: Sequence[Path], sort: str) -> dict[str, Any]:
    """Tables, verdicts and notes of these experiments, each cell as `compare.py` prints it.

    Raises InputError for an unknown figure.
    """
    comparison = compare_results(paths, sort=sort)
    everyone = comparison.experiments
    return _plain(
        {
            "sort": sort,
            "sorts": _sorts(everyone),
            "order": [paths.index(one.path) for one in everyone],
            "ranks": ranks(comparison),
            "labels": [comparison.labels[str(one.path)] for one in everyone],
            "groups": _groups(comparison),
            "differences": list(map(list, differing_values(everyone).items())),
            "same": _same(everyone),
            "pairs": [_pair(pair) for pair in comparison.pairs],
            "seeds": seed_rows(comparison, {})[0] if comparison.seeds else [],
            "pretrainings": pretraining_rows(comparison.pretrainings)
            if comparison.pretrainings
            else [],
            "notes": comparison.notes,
            "problems": comparison.problems,
        }
    )


def _groups(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "label": group.label,
            "num_images": group.num_images,
            "rows": headline_rows(comparison, group),
        }
        for group in comparison.groups
    ]


def _pair(pair: Any) -> dict[str, Any]:
    return {"sentence": pair.sentence(), "distinguishable": pair.distinguishable}


def _sorts(experiments: Sequence[Experiment]) -> list[str]:
    return list(figure_keys(dict.fromkeys(c for one in experiments for c in one.class_names)))


def _same(experiments: Sequence[Experiment]) -> list[list[str]]:
    """The keys and values of the config that all of them share."""
    if not experiments:
        return []
    first, *others = (one.config for one in experiments)
    return [
        [key, value]
        for key, value in first.items()
        if all(other.get(key, ABSENT) == value for other in others)
    ]


def _plain(content: Any) -> Any:
    """The content with every text and value as a page may show it."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return shown(content)
