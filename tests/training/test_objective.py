"""The sum of the loss of labels and that of masks, each logged; unknown masks left out."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from core.losses.factory import get_loss
from core.losses.focal_loss import FocalLoss
from core.training.classification.objective import Objective
from core.training.classification.task import ClassificationTask
from core.training.progress import Criterion


@pytest.fixture
def output() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "logits": torch.randn(4, 2, generator=generator),
        "mask_logits": torch.randn(4, 2, 3, 5, generator=generator, requires_grad=True),
    }


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "labels": torch.randint(0, 2, (4, 2), generator=generator).float(),
        "mask_targets": torch.randint(0, 2, (4, 2, 3, 5), generator=generator, dtype=torch.uint8),
        "has_masks": torch.tensor([True, False, True, False]),
    }


def objective(mask_loss: str = "bce_with_logits", weight: float = 0.5) -> Objective:
    return Objective(get_loss({"type": "bce"}), get_loss({"type": mask_loss}), weight)


def test_it_is_the_sum_over_labels_and_known_masks(output, batch):
    known = [0, 2]
    image = bce(output["logits"], batch["labels"])
    mask = bce(output["mask_logits"][known], batch["mask_targets"][known].float())
    value = objective()(output, batch)
    assert value.item() == pytest.approx((image + 0.5 * mask).item())
    value.backward()
    assert (output["mask_logits"].grad[[1, 3]] == 0).all()


def test_a_batch_without_known_masks_still_has_a_gradient(output, batch):
    batch["has_masks"] = torch.zeros(4, dtype=torch.bool)
    value = objective()(output, batch)
    assert value.item() == pytest.approx(bce(output["logits"], batch["labels"]).item())
    value.backward()
    assert (output["mask_logits"].grad == 0).all()


def test_terms_are_means_over_the_training_batches(output, batch):
    both = objective().train()
    values = [both(output, batch)]
    batch["labels"] = 1 - batch["labels"]
    values.append(both(output, batch))
    terms = both.terms()
    assert terms["masks"]["weight"] == 0.5
    assert terms["masks"]["weighted"] == pytest.approx(0.5 * terms["masks"]["raw"])
    total = terms["image_labels"]["weighted"] + terms["masks"]["weighted"]
    assert total == pytest.approx(torch.stack(values).mean().item())
    both.eval()(output, batch)
    assert both.terms() == terms
    both.set_epoch(1)
    assert both.terms() == {}


def test_the_term_of_the_masks_is_a_mean_over_known_masks(output, batch):
    both = objective().train()
    both(output, batch)
    alone = both.terms()["masks"]["raw"]
    both(output, {**batch, "has_masks": torch.zeros(4, dtype=torch.bool)})
    assert both.terms()["masks"]["raw"] == pytest.approx(alone)


def test_parts_of_a_compound_mask_loss_are_named_under_it(output, batch):
    mask_loss = get_loss(
        {"type": "compound", "components": [{"type": "dice"}, {"type": "bce", "weight": 2}]}
    )
    both = Objective(get_loss({"type": "bce"}), mask_loss).train()
    both(output, batch)
    assert set(both.terms()) == {
        "image_labels",
        "masks",
        "masks/dice_loss",
        "masks/bce_with_logits",
    }
    assert both.get_weights() == {"masks/dice_loss": 1.0, "masks/bce_with_logits": 2.0}
    assert both.record()["mask_loss"]["params"]["type"] == "compound"


def test_distance_maps_of_the_loader_are_used(output, batch):
    batch["distance_maps"] = torch.randn(4, 2, 3, 5)
    known = [0, 2]
    beyond = output["mask_logits"].sigmoid() - batch["mask_targets"]
    expected = (beyond * batch["distance_maps"])[known].mean()
    with_maps = objective("boundary_loss", weight=1.0)(output, batch)
    image = bce(output["logits"], batch["labels"])
    assert with_maps.item() == pytest.approx((image + expected).item(), rel=1e-5)


def test_without_a_mask_loss_a_plain_tensor_will_do(batch):
    logits = torch.zeros(4, 2)
    plain = Objective(nn.BCEWithLogitsLoss())
    assert plain(logits, batch).item() == pytest.approx(bce(logits, batch["labels"]).item())
    assert plain({"logits": logits}, batch) == plain(logits, batch)
    assert "mask_loss" not in Objective(get_loss({"type": "bce"})).record()


class ScheduledLoss(FocalLoss):
    """Focal loss whose focus moves with the epoch."""

    def set_epoch(self, epoch: int) -> None:
        self.gamma = 2.0 + epoch


def test_what_undoes_the_loss_is_computed_again_only_where_the_loss_changed(monkeypatch):
    objective, calls = Objective(ScheduledLoss(alpha=0.25)), []
    compute = ScheduledLoss.posterior_scaling
    monkeypatch.setattr(
        ScheduledLoss, "posterior_scaling", lambda *given: calls.append(1) or compute(*given)
    )
    first, again = objective.undoing(2), objective.undoing(2)
    assert len(calls) == 1
    assert first.slopes.tolist() == again.slopes.tolist()
    objective.set_epoch(1)
    later = objective.undoing(2)
    assert (later.slopes != first.slopes).all()
    assert later.slopes.tolist() == compute(objective.image_loss, 2)[0]
    assert len(objective.undoing(3).slopes) == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"components": [{"type": "bce", "weight_step": 0.1}]}, True),
        ({"components": [{"type": "compound", "components": [{"type": "bce"}]}]}, False),
        ({"learnable_weights": "softmax"}, True),
        ({"learnable_weights": "uncertainty"}, True),
    ],
)
def test_epochs_whose_losses_do_not_compare_are_ranked_without_them(changes, expected):
    given = {"type": "compound", "components": [{"type": "bce"}, {"type": "dice"}], **changes}
    for both in (Objective(get_loss(given)), Objective(get_loss({"type": "bce"}), get_loss(given))):
        assert both.weights_change is expected
        task = ClassificationTask(both, {"train": []}, ("a", "b"), seed=0)
        second = "macro_average_precision" if expected else None
        assert task.criterion == Criterion("macro_f1", "macro-F1", second_figure=second)
