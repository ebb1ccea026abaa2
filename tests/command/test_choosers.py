"""A component is chosen alike by a group, on the command line and in a YAML file."""

import pytest
from omegaconf import OmegaConf

from core.augmentation import AugmentationPipeline, pipelines
from core.command import choosers
from core.command.choosers import CONFIG_DIR, check_choices, short_forms
from core.errors import InputError

CHOSEN = """# @package _global_
model: {name: convnext_atto, pretrained: false}
loss: {type: bce_with_logits, label_smoothing: 0.1}
data: {source: synthetic, num_images: 60}
"""


@pytest.fixture
def compose_here(tmp_path):
    """Compose as the command line does, with one more experiment file: by default `CHOSEN`."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from core.command.config import check_config, fill_config_store
    from core.command.help import store_help

    (tmp_path / "experiment").mkdir()
    (tmp_path / "train_config.yaml").write_text((CONFIG_DIR / "train_config.yaml").read_text())

    def run(*arguments, text=CHOSEN):
        (tmp_path / "experiment" / "chosen.yaml").write_text(text)
        fill_config_store()
        store_help()
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            overrides = short_forms(arguments, tmp_path)
            return check_config(hydra_compose("train_config", overrides=overrides))

    return run


def test_a_file_chooses_as_a_group_does(compose_here, compose):
    by_file = compose_here("experiment=chosen").resolved()
    by_group = compose(
        "model=convnext_atto", "model.pretrained=false", "loss=bce_with_logits",
        "loss.label_smoothing=0.1", "data=synthetic", "data.num_images=60",
    ).resolved()  # fmt: skip
    for section in ("model", "loss", "data"):
        assert by_file[section] == by_group[section]
    assert "gamma" not in by_file["loss"]


def test_the_command_line_has_precedence_over_a_file(compose_here):
    config = compose_here("experiment=chosen", "model.name=resnet50", "data.source=severstal")
    assert config.model["name"] == "resnet50"
    assert "cbam_stages" in config.model
    assert config.model["pretrained"] is False  # the file's other values stay
    assert config.data.source == "severstal"
    assert config.data.root.name == "severstal"


@pytest.mark.parametrize(
    ("preset", "choice", "same"),
    [
        # A file of a file names the mask loss; its keys are unknown to the other one.
        ("experiment=label_errors", "mask_loss.type=dice_loss", "mask_loss=dice_loss"),
        ("experiment=label_errors", "mask_loss.type=none", "mask_loss=none"),
        # Its alpha is another one.
        ("supervision=masks_focal", "mask_loss.type=tversky_loss", "mask_loss=tversky_loss"),
        ("supervision=masks_focal", "mask_loss=focal_loss", None),
        ("supervision=masks", "mask_loss.type=compound", None),
    ],
)
def test_a_loss_takes_nothing_that_a_file_says_of_another(compose, preset, choice, same):
    found = compose(preset, choice)
    assert found.mask_loss == (compose(same) if same else compose(preset)).mask_loss
    assert found.model["mask_head"] is True
    again = compose(*short_forms([preset, choice]))
    assert again.mask_loss == found.mask_loss  # as results.json records the command


def test_what_is_added_stands_beside_the_other_overrides():
    words = ["--cfg", "job", "supervision=masks", "mask_loss=dice_loss", "--resolve"]
    added = ["~mask_loss.components"]
    assert short_forms(words) == [*words[:2], *added, *words[2:]]


def test_a_value_that_is_given_stays_and_the_weight_of_a_mask_loss(compose_here):
    text = """# @package _global_
defaults: [override /mask_loss: focal_loss]
model: {name: timm, backbone: resnet18, pooling: max}
mask_loss: {weight: 0.5, alpha: 0.25, gamma: 3}
"""
    words = ["mask_loss=tversky_loss", "mask_loss.alpha=0.4", "model=efficientnet_lite0"]
    config = compose_here("experiment=chosen", *words, text=text)
    assert (config.mask_loss["weight"], config.mask_loss["alpha"]) == (0.5, 0.4)
    assert config.mask_loss["gamma"] == 1
    assert config.model["pooling"] == "max"
    assert "backbone" not in config.model


@pytest.mark.parametrize("argument", ["model.name", "++model.name", "+model.name", "model"])
def test_every_way_to_write_it_is_the_same(argument, compose):
    plain = compose("model=convnext_atto").model
    assert compose(f"{argument}=convnext_atto").model == plain
    assert compose("data.source=synthetic").data.root.name == "synthetic"


def test_a_name_without_its_parameters_is_refused(monkeypatch):
    class Hydra:
        class runtime:  # noqa: N801
            choices = {"model": "convnext_tiny_cbam", "loss": "focal_loss"}  # noqa: RUF012

    monkeypatch.setattr(choosers.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(choosers.HydraConfig, "get", lambda: Hydra)
    loss = {"loss": {"type": "focal_loss"}}
    check_choices(OmegaConf.create({"model": {"name": "convnext_tiny_cbam"}, **loss}))
    with pytest.raises(InputError, match=r"model\.name=resnet50: .* those of convnext_tiny_cbam"):
        check_choices(OmegaConf.create({"model": {"name": "resnet50"}, **loss}))


FROM_ELSEWHERE = """# @package _global_
model: {name: convnext_tiny_cbam, num_classes: 4, pretrained: true, cbam_stages: [3, 4]}
loss: {type: focal_loss, alpha: dynamic, gamma: 2.0, reduction: mean}
training: {num_epochs: 100, learning_rate: 0.001, weight_decay: 0.0001, early_stopping_patience: 15, warmup_epochs: 5}
data: {batch_size: 4, split_strategy: stratified_70_15_15}
augmentation:
  horizontal_flip: 0.5
  vertical_flip: 0.3
  rotation: {degrees: 15, probability: 0.5}
  brightness_contrast: {brightness: 0.2, contrast: 0.2}
  color_jitter: {saturation: 0.1, hue: 0.05}
  gaussian_blur: {kernel_size: 3}
"""  # noqa: E501


def leaves(content, prefix=""):
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_an_experiment_file_with_plain_numbers_as_probabilities(compose_here, compose, caplog):
    given = OmegaConf.to_container(OmegaConf.create(FROM_ELSEWHERE))
    config = compose_here("experiment=chosen", text=FROM_ELSEWHERE)
    resolved = config.resolved()
    for section in ("model", "loss", "training", "data"):
        assert resolved[section] | given[section] == resolved[section]
    augmentation = resolved["augmentation"]
    assert augmentation["horizontal_flip"] == {"probability": 0.5}
    assert augmentation["vertical_flip"] == {"probability": 0.3}
    assert augmentation["rotation"] == {"degrees": 15.0, "probability": 0.5}
    assert augmentation["gaussian_blur"]["kernel_size"] == 3
    pipelines._say_once.cache_clear()  # which other tests have filled
    pipeline = AugmentationPipeline(config.augmentation)
    assert "no effect: grey strips" in caplog.text
    assert "ColorJitter" not in str(pipeline.record())
    # Each of its keys, on the command line.
    arguments = [f"{key}={value}".replace(" ", "") for key, value in leaves(given)]
    assert compose(*arguments).resolved() == resolved
    changed = compose_here(
        "experiment=chosen", "augmentation.vertical_flip.probability=0.2",
        "augmentation.rotation={degrees:5}", text=FROM_ELSEWHERE,
    )  # fmt: skip
    assert changed.augmentation.vertical_flip.probability == 0.2
    assert changed.augmentation.rotation.degrees == 5
    switched_on = compose("augmentation=none", "augmentation.rotation.degrees=7").augmentation
    assert (switched_on.rotation.degrees, switched_on.vertical_flip) == (7, None)
