"""Values of `data.*` that the chosen data do not heed are refused on the command line alone."""

import pytest

from core.command.effects import check_effects
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
