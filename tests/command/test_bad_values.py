"""A value that a section or a component refuses: one line that names the key and what was expected.

That such a line ends the command is in tests/test_bad_input.py.
"""

from typing import Any

import pytest
from overriding import with_values

from core.command.config import check_config
from core.errors import InputError

BAD_VALUES = {
    "training.folds=2": ["training", "folds=2", "3"],
    "training.checkpoint_minutes=0": ["checkpoint_minutes=0", "greater than 0"],
    "data.batch_size=many": ["batch_size='many'", "auto"],
    "data.batch_size=0": ["data", "batch_size=0"],
    "data.sampler=uniform": ["data", "sampler='uniform'", "balanced"],
    "data.split_strategy=random": ["split_strategy='random'", "stratified_70_15_15"],
    "data.cache=ssd": ["cache='ssd'", "disk"],
    "augmentation.rotation.degrees=-3": ["augmentation", "rotation.degrees=-3"],
    "augmentation.blackout.probability=2": ["augmentation", "blackout.probability=2"],
    "augmentation.blackout.fill=black": ["blackout.fill='black'", "texture"],
    "augmentation.mixup.alpha=0": ["augmentation", "mixup.alpha=0"],
    "augmentation.cutmix.probability=-1": ["augmentation", "cutmix.probability=-1"],
    "experiment.seed=-1": ["experiment", "seed=-1"],
    "runtime.precision=half": ["precision='half'", "bfloat16"],
    "training.accumulation_steps=0": ["accumulation_steps=0"],
    "training.ema_decay=1": ["ema_decay=1"],
    "training.layer_decay=0": ["layer_decay=0"],
    "runtime.devices=0": ["runtime", "devices=0"],
    "runtime.device=tpu": ["device='tpu'", "cuda"],
    "training.learning_rate=fast": ["learning_rate='fast'", "number"],
    "model.num_classes=0": ["model convnext_tiny_cbam", "num_classes=0", "1"],
    "model.cbam_kernel_size=4": ["model convnext_tiny_cbam", "cbam_kernel_size=4", "7"],
    "model.width=3": ["model convnext_tiny_cbam", "width=3: unknown key", "mask_head_width"],
    "loss.gama=3": ["loss focal_loss", "gama=3: unknown key", "did you mean 'gamma'"],
    "loss.alpha=dynamo": ["loss focal_loss", "alpha='dynamo'", "'dynamic'"],
    "loss.reduction=median": ["loss focal_loss", "reduction='median'", "'positives'"],
    "mask_loss.weight=0": ["mask_loss.weight=0", "above 0"],
    "mask_loss.weight=true": ["mask_loss.weight=True", "number"],
    "mask_loss.smooth=-1": ["mask_loss dice_loss", "smooth=-1"],
    "more={a:1}": ["more: unknown key", "known keys: model, loss"],
}


@pytest.fixture(scope="module")
def content(compose) -> dict[str, Any]:
    return compose("mask_loss=dice_loss").resolved()


@pytest.mark.parametrize("override", BAD_VALUES)
def test_bad_value(override, content):
    with pytest.raises(InputError) as caught:
        check_config(with_values(content, [override]))
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in BAD_VALUES[override]), line


def test_the_config_of_these_tests_is_good(content):
    assert check_config(with_values(content, [])).resolved() == content
