"""Where a model must not be trusted, told from the facts of its training."""

from core.experiments.reading import Experiment

# Below so many test images of a class its figures are hardly more than examples.
FEW_IMAGES = 30
# About 7 % of the real label sets are estimated to be wrong: more agreement than this is a leak.
SUSPICIOUS = 0.95


def limits(experiment: Experiment) -> list[str]:
    """One sentence each."""
    look_up = experiment.look_up
    size = "x".join(map(str, look_up("config", "data", "image_size") or []))
    found = [
        f"Takes {size} images only, and knows no other defects than its classes: what looks like "
        "none of them is called clean.",
    ]
    if look_up("config", "data", "source") == "synthetic":
        found.append("Trained and tested on procedural strips: says nothing of real steel.")
    if noise := look_up("config", "data", "label_noise"):
        found.append(f"A label of {100 * noise:g} % of the images was flipped on purpose.")
    for name in experiment.class_names:
        support = look_up("test", "per_class", name, "support") or 0
        if support < FEW_IMAGES:
            found.append(
                f"{name}: {support} test images; its figures are uncertain, see the intervals."
            )
    for name in experiment.class_names:
        recall = look_up("test_at_thresholds", "per_class", name, "recall")
        if recall is not None and recall < 0.5:
            found.append(f"{name}: misses more than half of its test images at its threshold.")
    if (look_up("calibration", "method") or "none") == "none":
        found.append("Not calibrated: a probability ranks images, it is no share of defects.")
    if look_up("config", "data", "group_duplicates") is False:
        found.append("Near-duplicates were not looked for: tested strips may have been trained on.")
    if (look_up("test", "subset_accuracy") or 0) > SUSPICIOUS:
        found.append(
            "Nearly every label set is right: look for tested strips that were trained on before "
            "believing it."
        )
    return found
