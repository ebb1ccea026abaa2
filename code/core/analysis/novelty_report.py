"""The report of a detector of novelty."""

from collections.abc import Mapping
from typing import Any

from core.analysis.novelty_figures import distributions, hottest, read_scores, roc_curves
from core.analysis.page import key_values, page, paragraph, section, table
from core.experiments.reading import Experiment, flatten
from core.files.escaping import for_html as escape

BASELINE_TITLE = "high_pass, which learns nothing"


def render_novelty(experiment: Experiment) -> str:
    """The report as HTML."""
    look = experiment.look_up
    kind = str(look("detector", "type"))
    tests = [(kind, look("threshold"), look("test"))]
    if look("baseline"):
        tests.append((BASELINE_TITLE, look("baseline", "threshold"), look("baseline", "test")))
    body = [
        f"<h1>{escape(experiment.name)}</h1>",
        paragraph(
            f"Detector of novelty, {str(look('experiment', 'created_at')).replace('T', ' ')}"
        ),
        section("alarms", "False alarms", _alarms(tests)),
        section("defects", "Strips with defects beside clean ones", _defects(tests)),
        *_pictures(experiment),
        section("settings", "Config and environment", _settings(experiment)),
    ]
    return page(experiment.name, "\n".join(body))


def _pictures(experiment: Experiment) -> list[str]:
    scores = read_scores(experiment)
    if scores is None:
        return []
    return [
        section("scores", "Scores", distributions(experiment, scores)),
        section("roc", "Recall and false alarms", roc_curves(experiment, scores)),
        section("hottest", "Hottest strips of the test", hottest(experiment)),
    ]


def _alarms(tests: list[tuple[str, Any, Any]]) -> str:
    rows = []
    for title, threshold, test in tests:
        counted = (test or {}).get("false_alarms") or {}
        rows.append(
            [
                title,
                f"{threshold['threshold']:.6g}",
                f"{threshold.get('chosen_per_1000'):g}",
                f"{threshold.get('expected_per_1000'):.3g}"
                f"{_bounds(threshold.get('interval_per_1000'), '.3g')}",
                f"{counted['per_1000']:.3g}{_bounds(counted['interval_per_1000'], '.3g')}, "
                f"{counted['num_strips']} strips"
                if counted
                else "",
            ]
        )
    header = ["detector", "threshold", "chosen per 1,000", "expected per 1,000", "held out"]
    return table(header, rows)


def _defects(tests: list[tuple[str, Any, Any]]) -> str:
    rows = []
    for title, _, test in tests:
        named: dict[str, Mapping[str, Any] | None] = {
            "any defect": (test or {}).get("any_defect"),
            **((test or {}).get("per_class") or {}),
        }
        rows += [
            [title, name, one["num_strips"], *(_figure(one, key) for key in ("auroc", "recall"))]
            for name, one in named.items()
            if one
        ]
    if not rows:
        return paragraph("No strips with known defects were scored.")
    header = ["detector", "strips with", "strips", "AUROC", "recall at the threshold"]
    return table(header, rows, text_columns=2)


def _figure(one: Mapping[str, Any], key: str) -> str:
    return f"{one[key]:.3f}{_bounds(one.get(f'{key}_interval'), '.3f')}"


def _bounds(bounds: list[float] | None, form: str) -> str:
    return "" if bounds is None else f" [{bounds[0]:{form}}, {bounds[1]:{form}}]"


def _settings(experiment: Experiment) -> str:
    tables = [key_values("Config", experiment.config)]
    for title in ("Environment", "Data", "Fit", "Timings"):
        values = experiment.look_up(title.lower())
        tables.append(key_values(title, flatten(values or {})))
    return "".join(tables)
