"""Features of patches: at the border as inside, and whatever the light."""

import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from core.exporting.formats import write_onnx
from core.novelty.detectors import get_registry
from core.novelty.detectors.patch_features import PatchFeatures, build_backbone
from core.novelty.exporting import OUTPUTS
from core.novelty.score import ScoredDetector
from core.novelty.smoothing import evened


def textures(number, size=(128, 192), seed=0):
    """Clean texture: noise with a grain of some pixels, the same everywhere."""
    noise = torch.randn(number, 1, *size, generator=torch.Generator().manual_seed(seed))
    grain = F.avg_pool2d(F.pad(noise, (2,) * 4, mode="circular"), 5, stride=1)
    return (128 + 150 * grain).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(None, None, True, None)[0]


@pytest.mark.parametrize("name", ["memory_bank", "gaussian"])
def test_patches_of_clean_texture_are_as_near_at_the_border_as_inside(name):
    bank = {"num_patches": 500, "num_candidates": 3000} if name == "memory_bank" else {}
    detector = get_registry().instantiate(name, **bank).eval()
    detector.fit(textures(16).split(8), seed=0)
    with torch.inference_mode():
        mean = detector(textures(6, seed=1)).mean(0)
    inside = torch.zeros_like(mean, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    assert 0.85 < mean[~inside].mean() / mean[inside].mean() < 1.15


@pytest.mark.parametrize(("size", "expected"), [((64, 96), (4, 6)), ((40, 72), (3, 5))])
def test_maps_have_the_size_of_the_image_over_the_stride(backbone, size, expected):
    assert PatchFeatures(backbone, (3, 4))(textures(1, size)).shape[-2:] == expected


def test_images_smaller_than_the_stride_are_not_mirrored(backbone):
    assert PatchFeatures(backbone, (3, 4))(textures(1, (32, 64))).shape[-2:] == (2, 4)


def test_even_light_takes_away_a_slope_and_the_contrast():
    images = textures(1).float() / 255
    slope = torch.linspace(-0.2, 0.2, images.shape[-1])
    other = 0.5 + 0.5 * (images - 0.5) + slope
    expected, found = (evened(each, 16)[..., 16:-16] for each in (images, other))
    assert (images - other).abs().mean() > 0.1
    assert (expected - found).abs().mean() < 0.02
    assert 0.08 < expected.std() < 0.2


def test_standardized_features_have_a_mean_of_zero_in_each_image(backbone):
    features = PatchFeatures(backbone, (3, 4), standardized=True)(textures(2))
    torch.testing.assert_close(
        features.mean((2, 3)), torch.zeros(features.shape[:2]), rtol=0, atol=1e-4
    )
    plain = torch.full((1, 1, 64, 96), 90, dtype=torch.uint8)
    assert torch.isfinite(PatchFeatures(backbone, (3, 4), 16.0, True)(plain)).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_gaussian_over_even_light_is_exported(tmp_path):
    detector = get_registry().instantiate("gaussian")
    detector.fit([textures(4)], seed=0)
    scored = ScoredDetector(detector, smoothing=8.0, largest=5).eval()
    file, batch = tmp_path / "detector.onnx", textures(3, seed=1)
    write_onnx(scored, batch[:2], file, "{}", OUTPUTS)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        for found, expected in zip(
            session.run(list(OUTPUTS), {"images": batch.numpy()}), scored(batch), strict=True
        ):
            limit = 1e-4 * max(1.0, float(expected.max()))
            torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=limit)
