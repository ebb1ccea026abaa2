"""The confusion of label sets: which sets a multi-label model predicts for which."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from core.analysis.page import paragraph
from core.experiments.predictions import Predictions
from core.files.escaping import for_html as escape
from core.metrics.scored_predictions import DEFAULT_THRESHOLD

NONE, OTHER = "none", "other"
MOST_SETS = 9


def set_names(labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Label sets (images, classes) in short: `none`, `1`, `1+3` for defect_1 and defect_3."""
    short = short_names(class_names)
    return [
        "+".join(name for name, present in zip(short, row, strict=True) if present) or NONE
        for row in labels
    ]


def short_names(class_names: Sequence[str]) -> list[str]:
    """The names without a prefix such as `defect_` that all of them share."""
    for separator in "_ ":
        heads = {name.rpartition(separator)[0] for name in class_names}
        if len(heads) == 1 and len(class_names) > 1:
            return [name.rpartition(separator)[2] for name in class_names]
    return list(class_names)


def confusion(test: Predictions, class_names: Sequence[str]) -> str:
    """A table of true label sets by predicted ones; all but the most frequent sets are `other`."""
    predicted = test.probabilities >= DEFAULT_THRESHOLD
    true, found = set_names(test.labels, class_names), set_names(predicted, class_names)
    order = [name for name, _ in Counter(true).most_common(MOST_SETS)]
    kept = set(order)
    true = [name if name in kept else OTHER for name in true]
    found = [name if name in kept else OTHER for name in found]
    order += [OTHER] if OTHER in (*true, *found) else []
    counts = Counter(zip(true, found, strict=True))
    rows = []
    for row in order:
        total = sum(counts[row, column] for column in order)
        if not total:
            continue  # `other` may be only predicted
        cells = "".join(_cell(counts[row, column], total, row == column) for column in order)
        rows.append(f"<tr><th>{escape(row)}</th>{cells}<td>{total}</td></tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in order)
    text = (
        "Test images by their label set (rows) and the set predicted at 0.5 (columns). Blue is "
        "right, orange is wrong; darker is a larger share of the row."
    )
    return paragraph(text) + (
        '<div class="wide"><table class="matrix"><thead><tr><th>true \\ predicted</th>'
        f"{head}<th>images</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, total: int, same: bool) -> str:
    """Shaded by the share of the row: blue where right, orange where wrong."""
    share = count / total if total else 0.0
    colour = "0,114,178" if same else "213,94,0"
    style = f' style="background:rgba({colour},{0.75 * share:.2f})"' if count else ""
    return f"<td{style}{' class=same' if same else ''}>{count or ''}</td>"
