"""The numbers of other projects for the losses of embeddings."""

import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.pretraining.losses import BarlowTwinsLoss, ClipLoss, InfoNCELoss, NTXentLoss


def views(case) -> tuple[Tensor, Tensor]:
    found = {**case["inputs"], **case["canonical"]}
    return tuple(torch.tensor(found[key], dtype=torch.float64) for key in ("z1", "z2"))


def nt_xent(case) -> Tensor:
    return NTXentLoss(case["params"]["temperature"])(*views(case))


def nt_xent_gradient(case) -> Tensor:
    first, second = views(case)
    NTXentLoss(case["params"]["temperature"])(first.requires_grad_(), second).backward()
    return first.grad


def barlow_twins(case) -> Tensor:
    weight = case["params"].get("lambd", case["params"].get("lambda_param"))
    kind = "unbiased" if "unbiased" in case["canonical"]["convention"] else "batch_norm"
    return BarlowTwinsLoss(weight, kind)(*views(case))


def moco(case) -> Tensor:
    queries, keys, rows = (
        torch.tensor(case["inputs"][key], dtype=torch.float64) for key in ("q", "k", "queue_rows")
    )
    loss = InfoNCELoss(rows.shape[1], len(rows), case["params"]["temperature"]).double()
    loss.queue.add(F.normalize(rows, dim=1), torch.arange(len(rows)))
    return loss(queries, keys)


def clip(case) -> Tensor:
    images, texts = (
        torch.tensor(case["inputs"][f"{key}_features_normalised_rows_of"], dtype=torch.float64)
        for key in ("image", "text")
    )
    loss = ClipLoss().double()
    torch.nn.init.constant_(loss.log_scale, torch.tensor(case["params"]["logit_scale"]).log())
    return loss(images, texts)


FAMILIES = {
    "ntxent": nt_xent,
    "ntxent_grad": nt_xent_gradient,
    "barlow_twins": barlow_twins,
    "moco": moco,
    "clip": clip,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_other_projects(family, shared_file):
    cases = json.loads(shared_file("oracles/losses.json").read_text())["cases"]
    found = [case for case in cases if case["family"] == family]
    assert found
    for case in found:
        torch.testing.assert_close(
            FAMILIES[family](case).detach(),
            torch.tensor(case["expected"], dtype=torch.float64),
            rtol=case["rtol"],
            atol=case["atol"],
            msg=lambda text, case=case: f"{case['id']}: {text}",
        )
