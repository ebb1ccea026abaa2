"""What every registered method promises; a new one is tested by being registered.

What learns by masks has tests of its own, since it has no embeddings.
"""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from core.errors import InputError
from core.pretraining.methods import get_registry

REGISTRY = get_registry()
BATCH, FEATURES, CLASSES = 6, 7, 3
SMALL = {"hidden_size": 16, "embedding_size": 8}
OF_EMBEDDINGS = [name for name in REGISTRY.list() if not REGISTRY.get(name).mask_head]
every_method = pytest.mark.parametrize("name", OF_EMBEDDINGS)
IDS = torch.arange(BATCH)
LABELS = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 0, 0]]).float()


class Encoder(nn.Module):
    """Batch normalisation, by which a query could leak to its key."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, FEATURES, 3), nn.BatchNorm2d(FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean((2, 3))


def build(name: str, **params):
    """A method and its encoder, the same at each call; its queue, if any, holds keys."""
    torch.manual_seed(0)
    encoder = Encoder()
    method = REGISTRY.get(name, **SMALL, **params)
    method.attach(encoder, FEATURES, CLASSES)
    if hasattr(method.loss, "queue"):
        method.loss.queue.add(torch.randn(4, SMALL["embedding_size"]), torch.arange(4) + 50)
    return method, encoder


def features(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(BATCH, FEATURES, generator=generator)
    second = first + 0.3 * torch.randn(BATCH, FEATURES, generator=generator)
    return first.to(dtype), second.to(dtype)


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    first = torch.rand(BATCH, 1, 6, 8, generator=generator)
    return first, first.flip(3)


@pytest.mark.parametrize("name", REGISTRY.list())
def test_is_built_by_default_and_described(name):
    assert isinstance(REGISTRY.get(name)(), nn.Module)
    assert REGISTRY.description(name)
    assert "Source" in REGISTRY.get(name).__doc__


@every_method
def test_parameters_are_checked(name):
    with pytest.raises(InputError, match="embedding_size=0"):
        REGISTRY.get(name, embedding_size=0)
    with pytest.raises(InputError, match="unknown key"):
        REGISTRY.get(name, sizes=3)


@every_method
def test_the_loss_is_finite_and_reaches_every_parameter(name):
    method, encoder = build(name)
    first, second = method.encode(encoder, *images())
    loss, embeddings = method(first, second, IDS, LABELS)
    loss.backward()
    assert torch.isfinite(loss)
    assert [each.shape for each in embeddings] == [(BATCH, SMALL["embedding_size"])] * 2
    trained = [*method.named_parameters(), *encoder.named_parameters()]
    for key, parameter in trained:
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().sum() > 0, key


@every_method
def test_order_of_the_batch_does_not_matter(name):
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    first, second = features()
    expected, _ = build(name)[0](first, second, IDS, LABELS)
    found, _ = build(name)[0](first[order], second[order], IDS[order], LABELS[order])
    torch.testing.assert_close(found, expected)


@every_method
def test_features_in_bfloat16(name):
    method, _ = build(name)
    half = [each.float() for each in features(torch.bfloat16)]
    loss, _ = method(*half, IDS, LABELS)
    expected, _ = build(name)[0](*features(), IDS, LABELS)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.05)


@every_method
def test_its_state_is_that_of_a_copy(name):
    (method, encoder), stream = build(name), io.BytesIO()
    method.follow(encoder)
    method(*features(), IDS, LABELS)
    torch.save(method.state_dict(), stream)
    stream.seek(0)
    torch.manual_seed(9)
    copied = REGISTRY.get(name, **SMALL)
    copied.attach(Encoder(), FEATURES, CLASSES)
    copied.load_state_dict(torch.load(stream, weights_only=True))
    values = [each(*features(), IDS, LABELS)[0] for each in (method, copied)]
    assert torch.equal(*values)


@every_method
def test_inputs_and_global_state_stay_as_they_are(name):
    method, encoder = build(name)
    (first, second), state = features(), torch.get_rng_state()
    before = [each.clone() for each in (first, second)]
    method.follow(encoder)
    method(first, second, IDS, LABELS)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, before, (first, second)))


@every_method
def test_a_batch_of_one_is_refused(name):
    with pytest.raises(InputError, match=r"data\.batch_size=1: .*expected at least 2"):
        REGISTRY.get(name)().check_batch_size(1)
    REGISTRY.get(name)().check_batch_size(64)


@every_method
def test_validation_changes_nothing(name):
    method, encoder = build(name)
    method.eval()
    before = copy.deepcopy(method.state_dict())
    first, second = method.encode(encoder.eval(), *images())
    method(first, second, IDS, LABELS)
    after = method.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_labels_of_clip_are_label_sets():
    """Strips with the same labels are positives of each other, in both views."""
    method, _ = build("clip")
    _, (first, second) = method(*features(), IDS, LABELS)
    sets, of_labels = torch.tensor([0, 1, 0, 2, 3, 1]), method.label_encoder(LABELS)
    expected = (method.loss(first, of_labels, sets) + method.loss(second, of_labels, sets)) / 2
    found, _ = build("clip")[0](*features(), IDS, LABELS)
    torch.testing.assert_close(found, expected)


def test_a_queue_that_is_no_multiple_of_the_batch_is_refused():
    moco = REGISTRY.get("moco", queue_size=100)
    with pytest.raises(InputError, match=r"method\.queue_size=100: .*data\.batch_size=32: give 96"):
        moco.check_batch_size(32)
    with pytest.raises(InputError, match="give 128"):
        moco.check_batch_size(128)


def test_the_key_encoder_follows_slowly():
    method, encoder = build("moco", momentum=0.9)
    before = copy.deepcopy(method.key_encoder.state_dict())
    with torch.no_grad():
        for value in encoder.state_dict().values():
            value.add_(1)
    method.follow(encoder)
    for key, value in method.key_encoder.state_dict().items():
        expected = before[key] + (0.1 if value.is_floating_point() else 1)
        torch.testing.assert_close(value, expected)
    assert not any(p.requires_grad for p in method.key_encoder.parameters())


def test_nothing_leaks_to_a_key_through_the_statistics_of_its_batch():
    """The key of an image is the same, whatever the other images of the batch are."""
    method, encoder = build("moco")
    method.train()
    first, second = images()
    _, keys = method.encode(encoder.train(), first, second)
    _, alone = method.encode(encoder.train(), first, torch.cat([second[:1], 9 * second[1:]]))
    torch.testing.assert_close(keys[0], alone[0])
    own = method.encode(encoder.train(), first, second)[0]
    other = method.encode(encoder.train(), torch.cat([first[:1], 9 * first[1:]]), second)[0]
    assert not torch.allclose(own[0], other[0])  # queries are normalised by their batch
