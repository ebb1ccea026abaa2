"""Values that do nothing beside the others are refused, on the command line alone."""

import pytest

from core.command.effects import check_component_effects, check_effects
from core.data.settings import DataSettings
from core.errors import InputError

WITHOUT_EFFECT = {
    "num_images": (7, "data.num_images=7: has an effect with data.source=synthetic only"),
    "class_shares": ("flat", "data.class_shares=flat: .* data.source=synthetic only"),
    "generation_seed": (7, "data.generation_seed=7: .* or with data.label_noise=SHARE"),
    "image_size": ((64, 128), r"data.image_size=\[64, 128\]: has no effect, since data.resize"),
}


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
@pytest.mark.parametrize("resize", [(32, 64), "auto"])
def test_a_value_that_does_nothing_is_refused_where_it_is_given(key, resize):
    value, message = WITHOUT_EFFECT[key]
    data = DataSettings(resize=resize, **{key: value})
    with pytest.raises(InputError, match=message):
        check_effects(data, ["training.num_epochs=1", f"+data.{key}=it"])
    check_effects(data, ["experiment=quickstart"])  # which is of use with other data too
    check_effects(data, [f"data.{key}=it", "resume=latest"])  # which has data of its own


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_a_value_that_does_something_is_accepted(key):
    value, _ = WITHOUT_EFFECT[key]
    synthetic = DataSettings(source="synthetic", resize=(32, 64), **{key: value})
    for data in (synthetic, DataSettings(label_noise=0.1, generation_seed=7), DataSettings()):
        check_effects(data, [f"data.{key}=it"])
    check_effects(DataSettings(image_size=(64, 128)), ["data.image_size=[64,128]"])


COMPOUND = ["loss.type=compound", "loss.components=[{type:bce},{type:dice}]"]
OWN = "loss.components=[{type:bce,reduction:mean},{type:dice,reduction:mean}]"
ONE_OWN = "loss.components=[{type:bce},{type:dice,reduction:mean}]"
BOUNDARY = ["model.mask_head=true", "mask_loss.type=boundary_loss"]
PLAIN = "model.name=convnext_tiny"
ONLY_WITH = {
    "loss.floor=0.3": (COMPOUND, [[], ["loss.learnable_weights=uncertainty"]],
                       [["loss.learnable_weights=softmax"], ["loss.learnable=true"]]),
    "loss.prior_strength=5": (COMPOUND, [[]], [["loss.learnable_weights=true"]]),
    "loss.reduction=sum": (["loss.type=compound"], [[OWN]], [[COMPOUND[1]], [ONE_OWN]]),
    "loss.effective_number_beta=0.9": ([], [[], ["loss.class_weight=inverse"]],
                                       [["loss.class_weight=effective_number"]]),
    "mask_loss.max_distance=3": (BOUNDARY, [["mask_loss.scale=diagonal"]], [[]]),
    "model.mask_head_width=64": ([], [[]], [["model.mask_head=true"]]),
    "model.cbam_reduction=4": ([], [[PLAIN]], [[], [PLAIN, "model.cbam_stages=[4]"]]),
    "model.cbam_kernel_size=3": ([], [[PLAIN]], [[]]),
    "training.min_learning_rate=0.05": ([], [[]], [["training.learning_rate=0.05"]]),
}  # fmt: skip


@pytest.mark.parametrize("word", ONLY_WITH)
def test_a_parameter_that_does_nothing_beside_the_others_is_refused(word, compose):
    more, without, beside = ONLY_WITH[word]
    for others in without:
        words = [*more, *others, word]
        config = compose(*words)
        with pytest.raises(
            InputError, match=rf"^{word}(\.0)?: (has no effect without|expected at)"
        ):
            check_component_effects(config, words)
        check_component_effects(config, ["experiment=quickstart"])
        check_component_effects(config, [*words, "resume=latest"])
    for others in beside:
        words = [*more, *others, word]
        check_component_effects(compose(*words), words)


def test_the_default_of_such_a_parameter_may_be_given(compose):
    words = ["model.name=convnext_tiny", "model.cbam_reduction=16", "model.mask_head_width=32"]
    check_component_effects(compose(*words), words)
