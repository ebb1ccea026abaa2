"""What every registered detector does."""

import pytest
import torch

from core.errors import InputError
from core.novelty.detectors import get_registry
from core.novelty.score import ScoredDetector

SIZE = (64, 96)
NAMES = get_registry().list()
FITTED = [name for name in NAMES if not get_registry().get(name).learned_by_gradient]
# A bank as small as the images; all else as by default.
SMALL = {"memory_bank": {"num_patches": 60, "num_candidates": 200}}

pytestmark = pytest.mark.parametrize("channels", [1, 3])


def images(number=6, channels=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, channels, 8, 12, generator=generator)
    return (255 * torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")).to(torch.uint8)


def built(name, channels, **params):
    torch.manual_seed(0)
    detector = get_registry().instantiate(name, **{**SMALL.get(name, {}), **params})
    detector.attach(channels, SIZE)
    return detector.eval()


def learned(name, channels, seed=3, batches=(2, 4)):
    """A detector that was fitted; one that is learned by gradient as it starts."""
    detector = built(name, channels)
    if not detector.learned_by_gradient:
        detector.fit(images(channels=channels).split(list(batches)), seed)
    return detector


@torch.inference_mode()
def maps(detector, batch):
    return detector.distance_maps(batch)


@pytest.mark.parametrize("name", NAMES)
def test_its_maps_are_finite_and_not_negative(name, channels):
    found = maps(learned(name, channels), images(2, channels, seed=9))
    assert found.dtype == torch.float32
    assert found.shape[0] == 2
    assert found.dim() == 3
    assert torch.isfinite(found).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_its_stride_is_that_of_its_maps(name, channels):
    detector, batch = learned(name, channels), images(channels=channels)
    expected = [-(-length // detector.stride) for length in batch.shape[-2:]]
    assert list(maps(detector, batch).shape[-2:]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_map_does_not_depend_on_the_other_images_of_its_batch(name, channels):
    detector, batch = learned(name, channels), images(5, channels, seed=9)
    alone = torch.cat([maps(detector, one[None]) for one in batch])
    torch.testing.assert_close(maps(detector, batch), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_its_state_restores_it_exactly(name, channels):
    detector, batch = learned(name, channels), images(2, channels, seed=9)
    again = built(name, channels, **detector.rebuilt_by())
    again.load_state_dict(detector.state_dict())
    assert torch.equal(maps(again, batch), maps(detector, batch))


@pytest.mark.parametrize("name", FITTED)
def test_the_same_seed_learns_the_same(name, channels):
    states = [learned(name, channels).state_dict() for _ in range(2)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", FITTED)
def test_what_is_learned_does_not_depend_on_the_size_of_the_batches(name, channels):
    batch = images(2, channels, seed=9)
    few, many = (learned(name, channels, batches=sizes) for sizes in ((6,), (1, 2, 3)))
    torch.testing.assert_close(maps(few, batch), maps(many, batch), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", FITTED)
def test_no_images_are_refused(name, channels):
    with pytest.raises(InputError, match="images to learn from"):
        built(name, channels).fit([], seed=0)


@pytest.mark.parametrize("name", FITTED)
def test_a_feature_that_is_not_finite_is_refused(name, channels):
    detector = built(name, channels)
    parameters = list(detector.parameters())
    if not parameters:
        pytest.skip("it has no features")
    parameters[0].data.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite"):
        detector.fit([images(channels=channels)], seed=0)


@pytest.mark.parametrize("name", FITTED)
def test_training_and_evaluation_mode_measure_the_same_distances(name, channels):
    detector, batch = learned(name, channels), images(2, channels, seed=9)
    expected = maps(detector, batch)
    assert torch.equal(maps(detector.train(), batch), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", NAMES)
def test_its_graph_is_traced_to_the_same_score(name, channels):
    scored = ScoredDetector(learned(name, channels), smoothing=8.0, largest=5).eval()
    batch = images(2, channels, seed=9)
    with torch.inference_mode():
        traced = torch.jit.trace(scored, (images(2, channels, seed=5),), check_trace=False)
        for found, expected in zip(traced(batch), scored(batch), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
