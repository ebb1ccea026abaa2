"""What is odd about a strip or its masks, though it can be read."""

from collections.abc import Sequence
from pathlib import Path

from core.data.validation.findings import Findings
from core.data.validation.inspection import Grey, Inspection

# The emptiest of 100 real strips is black in 94.9 % of its pixels, and still shows 5 % of steel;
# the brightest is white in 19.9 %.
_NEARLY_BLACK = 0.98
_SATURATED = 0.5
_FLAT = 2.0
# A mask that lies beside the steel rather than on its edge.
_ON_BORDER = 0.5


def check_strips(
    paths: Sequence[Path], inspections: Sequence[Inspection], findings: Findings
) -> None:
    """Note strips that show next to nothing, and masks that overlap or lie on a black border."""
    for path, inspection in zip(paths, inspections, strict=True):
        if inspection.grey is not None:
            _check_grey(path.name, inspection.grey, findings)
        if inspection.masks is None:
            continue
        area = int(inspection.masks.areas.sum()) - inspection.masks.overlap
        if inspection.masks.overlap:
            findings.add(
                "warning",
                "masks that overlap",
                f"{path.name}: {inspection.masks.overlap} pixels belong to two or more classes",
            )
        if area and inspection.masks.on_border > _ON_BORDER * area:
            findings.add(
                "warning",
                "masks on a black border",
                f"{path.name}: {inspection.masks.on_border} of {area} pixels lie beside the steel",
            )


def _check_grey(name: str, grey: Grey, findings: Findings) -> None:
    if grey.black > _NEARLY_BLACK:
        message = f"{name}: {100 * grey.black:.1f} % of its pixels are black"
        findings.add("warning", "nearly black strip", message)
    elif grey.white > _SATURATED:
        message = f"{name}: {100 * grey.white:.1f} % of its pixels are white"
        findings.add("warning", "saturated strip", message)
    elif grey.standard_deviation < _FLAT:
        message = f"{name}: grey levels vary by {grey.standard_deviation:.2f} only"
        findings.add("warning", "flat strip", message)
