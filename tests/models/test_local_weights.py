"""`weights=FILE`: real files through the real loading code."""

import pickle

import pytest
import torch
from model_cases import STRIPS, build, make, stir, timm_network
from safetensors.torch import save_file

from core.errors import InputError
from core.models.registry import get_registry


def network_state(classes, backbone="test_convnext"):
    return timm_network(backbone, seed=5, num_classes=classes).state_dict()


def write(state, path):
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


def refusal(path, **params):
    with pytest.raises(InputError) as caught:
        build(weights=str(path), **params)
    message = str(caught.value)
    assert "\n" not in message
    assert f"model.weights={path}" in message
    return message


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
@pytest.mark.parametrize("backbone", ["test_convnext", "test_resnet"])
def test_a_network_of_timm_with_imagenets_head(tmp_path, backbone, suffix):
    state = network_state(1000, backbone)
    path = write(state, tmp_path / f"weights.{suffix}")
    model = build(backbone, weights=path)
    head = tuple(layer.removeprefix("backbone.") for layer in model.last_layers)
    loaded = model.backbone.state_dict()
    for key, value in state.items():
        if key.startswith(head):
            assert loaded[key].shape[0] == 4
        else:
            assert torch.equal(loaded[key], value), key


def test_the_final_norm_is_kept(tmp_path):
    state = network_state(1000)
    state["head.norm.weight"] = torch.rand_like(state["head.norm.weight"])
    model = build(weights=write(state, tmp_path / "weights.pt"))
    assert torch.equal(model.backbone.head.norm.weight, state["head.norm.weight"])


def test_a_head_of_the_same_size_is_kept(tmp_path):
    state = network_state(4)
    model = build(weights=write(state, tmp_path / "weights.pt"))
    assert torch.equal(model.backbone.head.fc.weight, state["head.fc.weight"])


def test_a_file_without_a_head(tmp_path):
    state = {k: v for k, v in network_state(4).items() if not k.startswith("head.fc")}
    model = build(weights=write(state, tmp_path / "weights.pt"))
    assert torch.equal(model.backbone.stem[0].weight, state["stem.0.weight"])


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_state_dict_inside_a_checkpoint(tmp_path, wrapper):
    state = network_state(1000)
    path = write({wrapper: state, "epoch": 3}, tmp_path / "checkpoint.pt")
    assert torch.equal(build(weights=path).backbone.stem[0].weight, state["stem.0.weight"])


@torch.no_grad()
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_model_of_this_project_with_its_attention(tmp_path, suffix):
    trained = build(cbam_stages=[3, 4]).eval()
    stir(trained.attention)
    path = write(trained.state_dict(), tmp_path / f"model_final.{suffix}")
    again = build(cbam_stages=[3, 4], weights=path).eval()
    assert torch.equal(again(STRIPS), trained(STRIPS))


@torch.no_grad()
def test_attention_the_file_does_not_know_starts_as_the_identity(tmp_path):
    plain = build().eval()
    path = write(plain.state_dict(), tmp_path / "plain.pt")
    assert torch.equal(build(cbam_stages=[3, 4], weights=path).eval()(STRIPS), plain(STRIPS))


def test_weights_given_nothing_is_downloaded(tmp_path, monkeypatch):
    def downloaded(*args, **params):
        raise AssertionError("asked for pretrained weights")

    monkeypatch.setattr("core.models.pretrained.pretrained_file", downloaded)
    path = write(network_state(1000), tmp_path / "weights.pt")
    make("timm", backbone="test_convnext", pretrained=True, weights=path)


def test_missing_keys_are_counted_with_examples(tmp_path):
    state = network_state(1000)
    gone = [key for key in state if key.startswith("stages.1.")]
    for key in gone:
        del state[key]
    message = refusal(write(state, tmp_path / "weights.pt"))
    assert f"weights missing: {len(gone)}" in message
    assert "stages.1." in message


def test_unexpected_keys_are_counted_with_examples(tmp_path):
    state = network_state(1000) | {"neck.weight": torch.ones(2), "neck.bias": torch.ones(2)}
    message = refusal(write(state, tmp_path / "weights.pt"))
    assert "weights unexpected: 2" in message
    assert "neck.weight" in message


def test_another_network_is_refused(tmp_path):
    path = write(network_state(1000, "test_resnet"), tmp_path / "weights.safetensors")
    assert "missing" in refusal(path)


def test_another_shape_is_refused(tmp_path):
    state = network_state(1000)
    state["stem.0.weight"] = state["stem.0.weight"][:, :1]
    message = refusal(write(state, tmp_path / "weights.pt"))
    assert "stem.0.weight (24, 1, 4, 4) for (24, 3, 4, 4)" in message


def test_no_file_and_a_folder(tmp_path):
    assert "does not exist" in refusal(tmp_path / "absent.pt")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut short"])
def test_another_format_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    assert "expected safetensors or a state_dict" in refusal(path)


class Harmful:
    """What must never be built from a file of weights."""

    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": Harmful()}, path)
    refusal(path)
    path.write_bytes(pickle.dumps(Harmful(), protocol=2))
    refusal(path)
    assert not Harmful.ran


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.ones(3)])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    assert "expected safetensors or a state_dict" in refusal(path)


def test_a_head_that_came_with_the_weights_keeps_its_bias(tmp_path):
    trained = get_registry().get("timm", backbone="test_resnet", pretrained=False)
    with torch.no_grad():
        trained.get_submodule(trained.last_layers[0]).bias.copy_(torch.arange(4.0))
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    options = {"backbone": "test_resnet", "weights": str(tmp_path / "trained.pt")}
    for num_classes, kept in ((4, True), (2, False)):
        model = get_registry().get("timm", num_classes=num_classes, **options)
        model.set_class_shares([0.5] * num_classes)
        bias = model.get_submodule(model.last_layers[0]).bias
        assert torch.equal(bias, torch.arange(float(num_classes)) if kept else torch.zeros(2))
