"""How a case of the oracle table is put to our losses, by family.

The table holds inputs, parameters and expected numbers of other projects. Where their
conventions differ (probabilities in, other divisors, smoothing counted otherwise), the
translation stands here.
"""

import torch

from core.losses import get_registry
from core.losses.boundary_loss import signed_distance_map
from core.losses.class_weights import effective_number
from core.losses.overlap import Overlap
from core.losses.overlap_losses import tversky_index


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def loss(name, **params):
    return get_registry().instantiate(name, **params)


def pair(case):
    """Logits and targets, from the case's canonical form or from its inputs."""
    found = {**case["inputs"], **(case.get("canonical") or {})}
    logits = next(found[key] for key in ("logits", "inputs", "input") if key in found)
    targets = next(found[key] for key in ("targets", "target", "y_true") if key in found)
    return tensor(logits), tensor(targets)


def focal(case):
    settings = {**case["params"], **(case.get("canonical") or {})}
    params = {"alpha": settings.get("alpha"), "gamma": settings.get("gamma", 2.0)}
    if settings.get("class_weight"):
        params["class_weight"] = settings["class_weight"]
    function = case["canonical"]["fn"]
    reduction = settings.get("reduction", "mean")
    if function.startswith("softmax_focal_onehot"):
        logits, targets = pair(case)
        value = loss("softmax_focal_loss", **params)(logits, targets.argmax(1))
        return value / logits.shape[1]
    if function == "sigmoid_focal":
        return loss("focal_loss", reduction=reduction, **params)(*pair(case))
    values = loss("focal_loss", reduction="none", **params)(*pair(case))
    if "sample_weight" in function:
        values = values * tensor(case["params"]["sample_weight"])
        return values.mean()
    return values.mean(-1)


def focal_monai_sum(case):
    values = loss("focal_loss", alpha=0.25, gamma=2.0, reduction="none")(*pair(case))
    return values.flatten(2).mean(2).sum()


def focal_finite(case):
    """Whether value, gradient and the diagonal of the Hessian are finite, as the case asks."""
    logits, targets = (tensor(case["inputs"][key])[None] for key in ("logits", "targets"))
    logits.requires_grad_()
    value = loss("focal_loss", alpha=None, gamma=case["params"]["gamma"])(logits, targets)
    (slope,) = torch.autograd.grad(value, logits, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), logits)
    finite = all(torch.isfinite(each).all() for each in (value, slope, curvature))
    return "loss, gradient and Hessian all finite" if finite else "not finite"


def softmax_focal(case):
    logits = tensor(case["inputs"]["logits"])
    targets = torch.tensor(case["inputs"]["targets_index"])
    value = loss("softmax_focal_loss", alpha=case["params"]["alpha"])(logits, targets)
    divided_by_classes = "N*C*space" in case["canonical"]["fn"]
    return value / logits.shape[1] if divided_by_classes else value


def bce(case):
    logits, targets = pair(case)
    if "pos_weight" in case["params"]:
        return loss("bce_with_logits", pos_weight=case["params"]["pos_weight"])(logits, targets)
    counted = targets != case["params"]["ignore_index"]
    smoothed = loss("bce_with_logits", label_smoothing=0.2, reduction="sum")
    return smoothed(logits[counted][None], targets[counted][None]) / len(targets)


def asymmetric(case):
    params = case["params"]
    return loss(
        "asymmetric_loss",
        gamma_negative=params["gamma_neg"],
        gamma_positive=params["gamma_pos"],
        margin=params["clip"],
        reduction=params["reduction"],
    )(*pair(case))


def class_balanced(case):
    counts = case["params"]["counts"]
    return tensor(effective_number(counts, 12568, beta=case["params"]["beta"]))


def tversky(case):
    canonical, params = case.get("canonical") or {}, case["params"]
    if "y_pred_probs" in case["inputs"]:
        return keras_overlap(case, canonical.get("alpha", 0.5), canonical.get("beta", 0.5))
    if not canonical:
        return binary(case, "tversky_loss", alpha=0.5, beta=0.5)
    ours = loss(
        "tversky_loss",
        alpha=canonical["alpha"],
        beta=canonical["beta"],
        smooth=canonical["smooth_nr"],
        batch=canonical["batch"],
        reduction=canonical["reduction"],
    )
    if params.get("sigmoid") and canonical["probs"] == "sigmoid(input)":
        return ours(*pair(case))
    return ours(tensor(canonical["probs"]).logit(), tensor(canonical["targets"]))


def keras_overlap(case, alpha, beta):
    """Keras sums over chosen axes, also of what is no probability: the index alone applies."""
    predicted, actual = tensor(case["inputs"]["y_pred_probs"]), tensor(case["inputs"]["y_true"])
    axes = case["params"]["axis"] or list(range(predicted.ndim))
    counts = Overlap(*(each.sum(axes) for each in (predicted * actual, predicted, actual)))
    return 1 - tversky_index(counts, alpha, beta, 1e-7)


def binary(case, name="dice_loss", **params):
    probs, targets = (tensor(case["inputs"][key]).view(1, 1, -1) for key in ("probs", "targets"))
    return loss(name, smooth=0.0, **params)(probs.logit(), targets)


def dice(case):
    canonical = case.get("canonical") or {}
    if "y_pred_probs" in case["inputs"]:
        return keras_overlap(case, 0.5, 0.5)
    if not canonical:
        return binary(case)
    weight = 1.0 if canonical["jaccard"] else 0.5
    values = loss(
        "tversky_loss" if canonical["jaccard"] else "dice_loss",
        smooth=canonical["smooth_nr"] / 2,
        batch=canonical["batch"],
        reduction=canonical["reduction"],
        **({"alpha": weight, "beta": weight} if canonical["jaccard"] else {}),
    )(tensor(canonical["probs"]).logit(), tensor(canonical["targets"]))
    return values.view(tensor(case["expected"]).shape)


def monai_inputs(case):
    """Probabilities and targets as MONAI makes them from its options."""
    logits, targets = tensor(case["inputs"]["input"]), tensor(case["inputs"]["target"])
    params = case["params"]
    probs = logits
    if params.get("sigmoid"):
        probs = torch.sigmoid(logits)
    if params.get("softmax"):
        probs = torch.softmax(logits, 1)
    if params.get("to_onehot_y"):
        hot = torch.nn.functional.one_hot(targets[:, 0].long(), logits.shape[1])
        targets = hot.movedim(-1, 1).double()
    first = 0 if params.get("include_background", True) else 1
    return probs[:, first:], targets[:, first:]


def generalized_dice(case):
    probs, targets = monai_inputs(case)
    values = []
    for p, t in zip(probs, targets, strict=True):
        sizes = t.flatten(1).sum(1)
        smallest = sizes[sizes > 0].min()
        # MONAI smooths next to weights 1 / T^2, ours next to weights relative to the largest.
        smooth = case["params"]["smooth_nr"] * smallest.item() ** 2
        values.append(loss("generalized_dice_loss", smooth=smooth)(p[None].logit(), t[None]))
    values = torch.stack(values)
    reduction = case["params"].get("reduction", "mean")
    if reduction == "none":
        return values.view(tensor(case["expected"]).shape)
    return values.sum() if reduction == "sum" else values.mean()


def dice_ce(case):
    logits, params = tensor(case["inputs"]["input"]), case["params"]
    probs, targets = monai_inputs(case)
    overlap = loss("dice_loss", smooth=5e-6, batch=False)(probs.logit(), targets)
    if params.get("sigmoid"):
        return overlap + loss("bce_with_logits", pos_weight=params["weight"])(logits, targets)
    indices = tensor(case["inputs"]["target"])
    indices = (indices[:, 0] if params.get("to_onehot_y") else indices.argmax(1)).long()
    weights = params.get("weight", [1.0, 1.0])
    entropy = loss("softmax_focal_loss", gamma=0.0, alpha=weights, reduction="sum")
    # torch's weighted mean divides by the sum of the weights.
    mean = entropy(logits, indices) / tensor(weights)[indices].sum()
    return params.get("lambda_dice", 1.0) * overlap + params.get("lambda_ce", 1.0) * mean


def focal_tversky(case):
    params = case["params"]
    ours = loss("tversky_loss", alpha=params["alpha"], beta=params["beta"], smooth=0.0)
    return ours(*pair(case)) ** params["gamma"]


def tversky_grad(case):
    logits, targets = pair(case)
    params = {key: case["params"][key] for key in ("alpha", "beta")}
    value = loss("tversky_loss", smooth=1e-5, batch=False, **params)
    value(logits.requires_grad_(), targets).backward()
    return logits.grad


def boundary_map(case):
    return tensor(signed_distance_map(tensor(case["inputs"]["mask"]).numpy()).tolist())


def boundary_property(case):
    mask = torch.zeros(256, 256)
    if "square_side" not in case["inputs"]:
        mask[1:254, 1:254] = 1
        return tensor(signed_distance_map(mask.numpy())[127, 127])
    side = case["inputs"]["square_side"]
    mask[10 : 10 + side, 10 : 10 + side] = 1
    return tensor(float((signed_distance_map(mask.numpy()) == 0).sum()))


def boundary(case):
    probs, mask = tensor(case["inputs"]["probs"]), tensor(case["inputs"]["mask"])
    mask = mask.expand_as(probs)
    return loss("boundary_loss", scale="none", relative=False)(probs.logit(), mask)


FAMILIES = {
    "focal": focal,
    "focal_monai_sum": focal_monai_sum,
    "focal_property": focal_finite,
    "softmax_focal": softmax_focal,
    "bce": bce,
    "asymmetric": asymmetric,
    "class_balanced_weights": class_balanced,
    "tversky": tversky,
    "tversky_index": lambda case: 1 - binary(case),
    "tversky_grad": tversky_grad,
    "focal_tversky": focal_tversky,
    "dice": dice,
    "dice_ce": dice_ce,
    "generalized_dice": generalized_dice,
    "boundary_sdf": boundary_map,
    "boundary_property": boundary_property,
    "boundary": boundary,
}
