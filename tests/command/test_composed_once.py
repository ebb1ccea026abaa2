"""What the tests compose is what Hydra composes, and follows each change of a file or a value."""

import shutil

import composed_once
import pytest
from conftest import REPOSITORY
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal import config_loader_impl
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

CHOICES = [
    [],
    ["loss=bce_with_logits", "training.num_epochs=7"],
    ["training.num_epochs=8", "loss=bce_with_logits"],
    ["experiment=quickstart", "data=synthetic", "+training.new=1", "~augmentation.cutmix"],
]


def composed(folder, *overrides):
    with initialize_config_dir(str(folder), version_base="1.3"):
        return hydra_compose("train_config", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("overrides", CHOICES)
def test_it_is_what_hydra_composes(overrides, compose, monkeypatch):
    compose()  # all components are in Hydra's store
    found = [composed(REPOSITORY / "config", *overrides) for _ in range(2)]
    found[0].training.num_epochs = 99  # a copy
    with monkeypatch.context() as patched:
        patched.setattr(config_loader_impl, "create_defaults_list", composed_once.find)
        loader = config_loader_impl.ConfigLoaderImpl
        patched.setattr(loader, "_compose_config_from_defaults_list", composed_once.merge)
        expected = composed(REPOSITORY / "config", *overrides)
    assert OmegaConf.to_container(found[1]) == OmegaConf.to_container(expected)


def test_a_changed_file_or_value_is_seen(compose, tmp_path):
    compose()
    folder = shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    words = ["loss=bce_with_logits", "experiment=quickstart"]
    before = composed(folder, *words)
    file = folder / "experiment" / "quickstart.yaml"
    file.write_text(file.read_text() + "\nan_addition: 1\n")
    assert "an_addition" not in before
    assert composed(folder, *words).an_addition == 1
    store = ConfigStore.instance()
    node = OmegaConf.to_container(store.load("loss/bce_with_logits.yaml").node)
    try:
        store.store("bce_with_logits", {**node, "another": 2}, "loss")
        assert composed(folder, *words).loss.another == 2
    finally:
        store.store("bce_with_logits", node, "loss")
    assert "another" not in composed(folder, *words).loss
