"""A model's probabilities for the images of one part of the split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from core.files import replacing
from core.spreadsheet import as_text
from core.training.localization import MaskScores, score_masks
from core.training.objective import logits_of
from core.training.precision import FLOAT32, Precision
from core.training.whole_batch import whole_batch, whole_scores


@dataclass(frozen=True)
class Predictions:
    """Labels and logits of a part, in the part's own order.

    Shape: image_ids (N,); labels, logits and mask scores (N, C).
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    loss: float
    mask_scores: MaskScores | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Sigmoid of the logits in float64. Shape: (N, C)."""
        return torch.from_numpy(self.logits).double().sigmoid().numpy()


@torch.no_grad()
def predict(
    model: nn.Module,
    objective: nn.Module,
    batches: Iterable[dict[str, Any]],
    device: torch.device,
    precision: Precision = FLOAT32,
) -> Predictions:
    """Run the model in evaluation mode over a loader; masks are scored where a batch has them.

    Of a batch that several processes share each computes its part, and all get the whole.
    """
    model.eval()
    objective.eval()
    image_ids: list[str] = []
    labels, logits, scores = [], [], []
    total = torch.zeros((), dtype=torch.float64, device=device)
    for batch in batches:
        with precision.autocast():
            output = model(batch["image"].to(device, non_blocking=True))
        if "masks" in batch:
            own = score_masks(output["mask_logits"].float(), batch["masks"])
            scores.append(whole_scores(own, batch))
        output, batch = whole_batch(output, batch, objective)
        image_ids += batch["image_id"]
        total += objective(output, batch).double() * len(batch["image_id"])
        labels.append(batch["labels"].cpu())
        logits.append(logits_of(output).float().cpu())
    return Predictions(
        tuple(image_ids),
        torch.cat(labels).numpy(),
        torch.cat(logits).numpy(),
        float(total) / len(image_ids),
        MaskScores.joined(scores) if scores else None,
    )


def write_predictions(
    path: Path, parts: Mapping[str, Predictions], class_names: Sequence[str]
) -> None:
    """Write predictions.csv: image_id, split, a label and a probability per class.

    An image named like a formula has an apostrophe before its id, see `core.spreadsheet`.
    """
    frames = []
    for split, part in parts.items():
        image_ids = [as_text(image_id) for image_id in part.image_ids]
        columns: dict[str, Any] = {"image_id": image_ids, "split": split}
        for c, name in enumerate(class_names):
            columns[f"label_{name}"] = part.labels[:, c].astype(int)
        for c, name in enumerate(class_names):
            columns[f"probability_{name}"] = part.probabilities[:, c]
        frames.append(pd.DataFrame(columns))
    with replacing(path) as temporary:
        # 17 significant digits give back the same float64.
        pd.concat(frames).to_csv(temporary, index=False, float_format="%.17g")
