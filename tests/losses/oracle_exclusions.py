"""Which cases of the oracle table are not put to our losses, and why."""

SKIPPED_FAMILIES = {
    **dict.fromkeys(
        ("ntxent", "ntxent_grad", "moco", "barlow_twins", "clip"),
        "of embeddings: tests/pretraining/test_embedding_oracles.py",
    ),
    **dict.fromkeys(
        ("vq", "vq_indices", "rvq", "rvq_indices", "vae_kl", "mmd", "bottleneck_factory"),
        "no losses of logits: tests/novelty has them",
    ),
    "hausdorff_dt": "not offered; the boundary loss takes its place",
    "ldam": "single-label by construction; not offered",
    "distribution_balanced": "divides by zero on strips without defects; not offered",
    "asymmetric_grad": "the gradient with the focusing factor detached, not that of the loss",
    "uncertainty_weight": "Kendall's unbounded form; ours is that of Liebel and Körner",
}

SKIPPED_CASES = {
    **dict.fromkeys(
        ("monai.tversky.02", "monai.dice.02", "monai.generalized_dice.02"),
        "soft_label: an overlap by differences, which ours is not",
    ),
    **dict.fromkeys(
        ("smp.tversky_binary.3", "smp.dice_binary.3"),
        "a trap: there a false positive on an empty mask costs nothing",
    ),
    "monai.generalized_dice.09": "the same trap: a mask without any class costs nothing there",
    "monai.generalized_dice.11": "weights 1 / T; the paper's 1 / T^2 are offered",
    "monai.tversky.05": "smooths the denominator only; ours smooths both sides",
    "monai.dice.10": "squared denominators are not offered",
}
