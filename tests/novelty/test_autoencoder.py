"""The autoencoder on strips of any size and kind."""

import pytest
import torch

from core.errors import InputError
from core.novelty.autoencoder import Autoencoder


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 400), (33, 47), (5, 3), (16, 16)])
def test_reconstructs_images_of_any_size(stride, channels, size):
    model = Autoencoder("none", image_channels=channels, stride=stride, latent_channels=8).eval()
    output = model(torch.rand(2, channels, *size))
    assert output["reconstruction"].shape == (2, channels, *size)
    height, width = (-(-length // stride) for length in size)
    assert output["latent"].shape == (2, 8, height, width)


def test_bytes_are_the_same_images_in_0_to_1():
    model = Autoencoder("none").eval()
    images = torch.randint(0, 256, (2, 1, 24, 24), dtype=torch.uint8)
    scaled = model.scaled(images)
    assert torch.equal(scaled, images / 255)
    torch.testing.assert_close(model(images)["reconstruction"], model(scaled)["reconstruction"])


@pytest.mark.parametrize("stride", [8, 16])
def test_is_small(stride):
    parameters = sum(p.numel() for p in Autoencoder("vae", stride=stride).parameters())
    assert 300_000 < parameters < 1_200_000


def test_a_strip_that_is_padded_is_reconstructed_where_it_is():
    model = Autoencoder("none").eval()
    image = torch.rand(1, 1, 16, 20)
    by_hand = torch.cat([image, image[..., -1:].expand(-1, -1, -1, 4)], dim=-1)
    torch.testing.assert_close(
        model(image)["reconstruction"], model(by_hand)["reconstruction"][..., :20]
    )


def test_other_images_and_options_are_refused():
    model = Autoencoder("none")
    for shape in ((2, 3, 16, 16), (1, 16, 16), (0, 1, 16, 16)):
        with pytest.raises(ValueError, match=r"expected \(batch, 1, height, width\), not empty"):
            model(torch.zeros(shape))
    with pytest.raises(InputError, match=r"unknown name 'vqvae'.*known names: dac_rvq"):
        Autoencoder("vqvae")
    with pytest.raises(InputError, match=r"bottleneck rvq: codebook_size=1: .*greater"):
        Autoencoder("rvq", bottleneck_options={"codebook_size": 1})
