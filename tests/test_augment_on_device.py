"""Augmentation on the device changes no figure of a training, and no batch."""

import pytest
import torch
from cuda_devices import each_device
from outcomes import differences, outcome, read

from core.errors import InputError
from core.running import loading
from core.running.composition import build
from core.running.device_augmentation import augments_on_device
from core.running.loading import choose_split, read_data

ON, OFF = "runtime.augment_on_device=true", "runtime.augment_on_device=false"
# All that the device does, beside what is on by default; the others stay in the loader.
EVERYTHING = [
    "augmentation.blackout={probability:0.5,fill:mean}",
    "augmentation.horizontal_shift.probability=0.5",
    "data.class_shares=[0.5,0.2,0.2,0.2]",
    "data.sampler=balanced",
]
MASKS = ["model.mask_head=true", "mask_loss.type=dice_loss", "data.mask_fraction=0.5"]


def batches(compose, *overrides: str) -> list[dict]:
    """The training batches of an epoch, on the CPU."""
    config = compose(*overrides)
    data = read_data(config.data)
    loader = build(config, data, choose_split(config, data)).task.loaders["train"]
    loader.set_epoch(2)
    found = [dict(batch) for batch in loader]
    for batch in found:
        batch |= {k: v.cpu() for k, v in batch.items() if isinstance(v, torch.Tensor)}
    return found


@each_device
@pytest.mark.parametrize("more", [[], MASKS], ids=["labels", "masks"])
@pytest.mark.parametrize("rank", [None, 1], ids=["alone", "second of two"])
def test_batches_are_the_same(compose, tiny, monkeypatch, device, more, rank):
    if rank is not None:
        monkeypatch.setattr(loading, "rank", lambda: rank)
        monkeypatch.setattr(loading, "size", lambda: 2)
    given = [*tiny, *EVERYTHING, *more, f"runtime.device={device.type}", "data.num_workers=0"]
    expected, found = (batches(compose, *given, way) for way in (OFF, ON))
    assert len(found) == len(expected) > 3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            same = torch.equal if isinstance(value, torch.Tensor) else list.__eq__
            assert same(ours[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], [*EVERYTHING, *MASKS]], ids=["usual", "everything"])
def test_a_training_has_the_same_figures(completed, tiny, more):
    usual = completed(*tiny, *more)
    ours = completed(*tiny, *more, ON, "data.num_workers=1")
    assert [r["train"]["loss"] for r in read(ours)["history"]] == [
        r["train"]["loss"] for r in read(usual)["history"]
    ]
    assert (ours / "predictions.csv").read_text() == (usual / "predictions.csv").read_text()


@pytest.mark.slow
@each_device
def test_it_resumes_to_the_same_figures(train_command, uninterrupted, interrupt, device):
    usual = [] if device.type == "cpu" else [f"runtime.device={device.type}"]
    path = interrupt(*usual, ON, steps=8)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert differences(outcome(uninterrupted(*usual)), outcome(path)) == []


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["augmentation.mixup=true"], "augmentation.mixup"),
        (["augmentation.cutmix=0.3"], "augmentation.cutmix"),
        ([*MASKS, "mask_loss.type=boundary_loss"], "distance maps"),
    ],
)
def test_what_needs_transformed_images_in_the_loader_is_refused(compose, tiny, overrides, named):
    config = compose(*tiny, *overrides, ON)
    data = read_data(config.data)
    with pytest.raises(InputError, match=named) as refused:
        build(config, data, choose_split(config, data))
    assert "runtime.augment_on_device=true" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "device", "expected"),
    [
        ([], "cuda", True),
        ([], "cpu", False),
        ([ON], "cpu", True),
        ([OFF], "cuda", False),
        (["augmentation=none", ON], "cuda", False),
        (["augmentation.cutmix=0.3"], "cuda", False),
    ],
)
def test_by_default_it_is_on_for_cuda_where_it_can_be(compose, overrides, device, expected):
    from core.augmentation.pipelines import AugmentationPipeline

    config = compose(*overrides)
    pipeline = AugmentationPipeline(config.augmentation)
    assert augments_on_device(config, pipeline, None, torch.device(device)) is expected
