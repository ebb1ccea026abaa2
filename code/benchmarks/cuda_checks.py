"""Checks of what only CUDA has: graphs, nccl, and memory that ends."""

import copy
import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional as F
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from benchmarks.device_checks import Check, compiled, needs_cuda, require, small, without_tf32
from benchmarks.workload import training
from core.command.config import TrainConfig
from core.errors import InputError
from core.machine.distributed import gathered_rows
from core.running.composition import build
from core.running.loading import choose_split, read_data
from core.running.out_of_memory import explaining_out_of_memory, settle_batch_size
from core.training.shared_batch_norm import share_batch_norm
from core.training.trainer import update

_MIB = 1 << 20
# Beyond what is held already: room for some strips of `_WIDE`, and not for all.
_ROOM = 768 * _MIB
_WIDE = "data.resize=[256,1600]"
_TOLERANCE = 1e-4


def graph(device: torch.device, folder: Path) -> str:
    """A recorded CUDA graph of the forward pass, replayed on other strips."""
    needs_cuda(device)
    setup = training(small(device, folder))
    model = setup.learner.model.eval()
    images, others = (batch["image"].to(device) for batch in _two(setup.task.train_batches))
    with torch.no_grad(), without_tf32():
        expected, static = model(others), images.clone()
        # Libraries choose their algorithms before the recording, on a stream of its own.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                model(static)
        torch.cuda.current_stream().wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            output = model(static)
        static.copy_(others)
        recorded.replay()
        torch.cuda.synchronize()
    difference = float((_logits(output) - _logits(expected)).abs().max())
    text = f"logits differ by at most {difference:.1e}, allowed {_TOLERANCE:.0e}"
    require(difference <= _TOLERANCE, text)
    return text


def several_devices(device: torch.device, folder: Path) -> str:
    """What several processes use, in a group of this one: nccl, shared BatchNorm, gradients."""
    setup = training(small(device, folder))
    images = next(iter(setup.task.train_batches))["image"].to(device)
    plain = setup.learner.model.train()
    shared = copy.deepcopy(plain)
    with without_tf32(), _group_of_one(device):
        shared = share_batch_norm(shared, device)
        wrapped = DistributedDataParallel(
            shared, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        outputs = [_logits(model(images)) for model in (plain, wrapped)]
        difference = float((outputs[0] - outputs[1]).detach().abs().max())
        for output in outputs:
            output.square().mean().backward()
        for own, other in zip(plain.parameters(), shared.parameters(), strict=True):
            if own.grad is not None:
                difference = max(difference, float((own.grad - other.grad).abs().max()))
        rows = torch.arange(6.0, device=device).view(3, 2)
        require(torch.equal(gathered_rows(rows, [3]), rows), "gathered rows differ")
        if device.type == "cuda":
            difference = max(difference, _kernels_of_sync_batch_norm(device))
        text = f"{dist.get_backend()}: differs by at most {difference:.1e}, allowed {_TOLERANCE}"
    require(difference <= _TOLERANCE, text)
    return text


def _kernels_of_sync_batch_norm(device: torch.device) -> float:
    """Largest difference of torch's shared normalisation; in a group of one it is not called."""
    values = torch.randn(8, 16, 12, 20, generator=torch.Generator().manual_seed(0)).to(device)
    weight, bias = torch.rand(2, 16, generator=torch.Generator().manual_seed(1)).to(device)
    found = []
    for share in (True, False):
        own = [part.clone().requires_grad_() for part in (values, weight, bias)]
        running = torch.zeros(16, device=device), torch.ones(16, device=device)
        if share:
            group = (1e-5, 0.1, dist.group.WORLD, 1)
            output = SyncBatchNorm.apply(*own, *running, *group)
        else:
            output = F.batch_norm(own[0], *running, own[1], own[2], True, 0.1, 1e-5)
        output.sin().mean().backward()
        found.append([output.detach(), *running, *(part.grad for part in own)])
    return max(float((a - b).abs().max()) for a, b in zip(*found, strict=True))


@contextmanager
def _group_of_one(device: torch.device) -> Iterator[None]:
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(0)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def out_of_memory(device: torch.device, folder: Path) -> str:
    """The message where a step does not fit, and that its memory is free again afterwards."""
    needs_cuda(device)
    config = small(device, folder, _WIDE, "data.batch_size=42")
    with limited(device, _ROOM // 8):
        before, message = torch.cuda.memory_allocated(), ""
        try:
            with explaining_out_of_memory(config):
                _one_step(config)
        except InputError as error:
            message = str(error)
        require(bool(message), "a batch that does not fit was trained")
        free_memory(device)
        left = torch.cuda.memory_allocated() - before
    require(message.startswith("out of memory on cuda with data.batch_size=42"), message)
    require(left < _MIB, f"{left / _MIB:.0f} MiB are still held after the error")
    return message


def automatic_batch_size(device: torch.device, folder: Path) -> str:
    """`data.batch_size=auto` where memory ends early: it finds a size, and steps of it fit."""
    needs_cuda(device)
    config = small(device, folder, _WIDE, "data.batch_size=auto")
    data = read_data(config.data)
    split = choose_split(config, data)
    with limited(device, _ROOM):
        settled = settle_batch_size(config, partial(build, data=data, split=split))
        _one_step(settled)
    size, most = settled.data.batch_size, len(split["train"])
    whole = " (all strips: memory did not end)" if size > most - most // 8 else ""
    return f"{size} of {most} strips in {_ROOM // _MIB} MiB{whole}"


def free_memory(device: torch.device) -> None:
    """Give back the memory of what nothing holds any longer."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def limited(device: torch.device, room: int) -> Iterator[None]:
    """Let torch take so many bytes beyond those that it holds now."""
    free_memory(device)
    total = torch.cuda.get_device_properties(device).total_memory
    share = min(1.0, (torch.cuda.memory_reserved() + room) / total)
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        free_memory(device)


def _one_step(config: TrainConfig) -> None:
    setup = training(config)
    setup.learner.train()
    update(setup.learner, setup.task, [next(iter(setup.task.train_batches))])
    torch.cuda.synchronize()


def _two(batches: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    iterator = iter(batches)
    return [next(iterator), next(iterator)]


def _logits(output: torch.Tensor | dict[str, torch.Tensor]) -> torch.Tensor:
    return output["logits"] if isinstance(output, dict) else output


CUDA_CHECKS: dict[str, Check] = {
    "CUDA graph": graph,
    "several devices": several_devices,
    "out of memory": out_of_memory,
    "automatic batch size": automatic_batch_size,
    # Last, because it takes longest.
    "compiled step": compiled,
}
