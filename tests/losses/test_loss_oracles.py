"""The numbers of other projects' tests and implementations."""

import json

import pytest
import torch
from oracle_cases import FAMILIES, tensor
from oracle_exclusions import SKIPPED_CASES, SKIPPED_FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def cases(shared_file):
    return json.loads(shared_file("oracles/losses.json").read_text())["cases"]


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_other_projects(family, cases):
    found = [c for c in cases if c["family"] == family and c["id"] not in SKIPPED_CASES]
    assert found
    for case in found:
        value, expected = FAMILIES[family](case), case["expected"]
        if isinstance(expected, str):
            assert value == expected, case["id"]
            continue
        torch.testing.assert_close(
            value.double(),
            tensor(expected),
            rtol=case["rtol"],
            atol=case["atol"],
            msg=lambda text, case=case: f"{case['id']}: {text}",
        )


def test_every_case_is_used_or_left_out_for_a_reason(cases, capsys):
    used, skipped = 0, {}
    for case in cases:
        reason = SKIPPED_CASES.get(case["id"]) or SKIPPED_FAMILIES.get(case["family"])
        assert (reason is None) == (
            case["family"] in FAMILIES and case["id"] not in SKIPPED_CASES
        ), f"{case['id']} of family {case['family']} is neither used nor left out"
        used += reason is None
        if reason:
            skipped.setdefault(f"{case['family']}: {reason}", []).append(case["id"])
    with capsys.disabled():
        print(f"\noracles: {used} of {len(cases)} cases used; left out:")
        for reason, ids in sorted(skipped.items()):
            print(f"  {len(ids):3d} {reason}")
    assert used + sum(map(len, skipped.values())) == len(cases)
    assert used >= 100
