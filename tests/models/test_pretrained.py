"""`pretrained=true`: timm's real loading from a cache, and one line without a network."""

import pytest
import torch
from huggingface_hub import constants
from model_cases import make, timm_network
from safetensors.torch import save_file

from core.errors import InputError
from core.models import pretrained

REPOSITORY = "timm/test_convnext.r160_in1k"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub in the place of the user's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def published():
    """What ImageNet's file of the tiny network holds: 1,000 classes, a trained final norm."""
    state = timm_network("test_convnext", seed=7, num_classes=1000).state_dict()
    state["head.norm.weight"] = torch.rand_like(state["head.norm.weight"])
    return state


def put_in_cache(cache, state):
    folder = cache / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")
    save_file(state, snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


def assert_loaded(model, state):
    loaded = model.backbone.state_dict()
    assert loaded["head.fc.weight"].shape == (4, 64)
    for key, value in state.items():
        assert key.startswith("head.fc") or torch.equal(loaded[key], value), key


def test_from_the_cache_with_imagenets_final_norm(cache, published):
    assert pretrained.get_pretrained_cfg("test_convnext").hf_hub_id == REPOSITORY
    put_in_cache(cache, published)
    params = {"backbone": "test_convnext", "pretrained": True, "cbam_stages": [3, 4]}
    assert_loaded(make("timm", **params), published)


def test_downloaded_where_there_is_a_network(cache, published, monkeypatch):
    elsewhere = put_in_cache(cache / "served", published)
    asked = []
    monkeypatch.setattr(
        pretrained, "get_hf_file_metadata", lambda url, timeout: asked.append((url, timeout))
    )
    monkeypatch.setattr(pretrained, "hf_hub_download", lambda **place: str(elsewhere))
    assert_loaded(make("timm", backbone="test_convnext", pretrained=True), published)
    assert len(asked) == 1
    assert asked[0][0].endswith(f"{REPOSITORY}/resolve/main/model.safetensors")
    assert asked[0][1] <= 10


def refusal(name, **params):
    with pytest.raises(InputError) as caught:
        make(name, pretrained=True, **params)
    message = str(caught.value)
    assert "\n" not in message
    assert "model.weights=FILE" in message
    assert "model.pretrained=false" in message
    return message


def test_without_a_network_one_request_and_one_line(cache, monkeypatch):
    class NoRouteError(Exception):
        """Transports raise errors of their own, not all of them OSError."""

    requests = []

    def fail(url, timeout):
        requests.append(url)
        raise NoRouteError("name or service not known\nand a second line")

    def download(**place):
        raise AssertionError("the download retries for most of a minute")

    monkeypatch.setattr(pretrained, "get_hf_file_metadata", fail)
    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    message = refusal("resnet50")
    assert len(requests) == 1
    assert "model.safetensors of timm/resnet50.a1_in1k" in message
    assert "name or service not known" in message


def test_hub_switched_off(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "timm/convnext_tiny.in12k_ft_in1k" in refusal("convnext_tiny_cbam")


def test_a_network_without_published_weights():
    assert "timm has no weights" in refusal("timm", backbone="convnext_atto_rms")


def test_options_that_do_not_fit_the_weights(cache, published):
    put_in_cache(cache, published)
    params = {"pretrained": True, "backbone_options": {"patch_size": 2}}
    with pytest.raises(InputError, match=r"cannot be built .* with backbone_options") as caught:
        make("timm", backbone="test_convnext", **params)
    assert "\n" not in str(caught.value)


def test_a_file_in_the_cache_that_is_broken(cache, published):
    path = put_in_cache(cache, published)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="delete this file to have it downloaded again") as caught:
        make("timm", backbone="test_convnext", pretrained=True)
    assert str(path) in str(caught.value)
