"""What torch's profiler reports for a piece of work: its peak memory, and the time by operator."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler import profile as time_operators
from torch.profiler import ProfilerActivity, profile

SHOWN = 5


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most memory that `run` held at once, beyond what was held before."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorder:
        run()
    events = [e for e in recorder.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def operator_shares(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    """The share of each operator in the time, largest first, without the operators it calls."""
    on_gpu = device.type == "cuda"
    # Only Kineto knows the GPU's kernels.
    with (
        _quiet(),
        time_operators(use_device="cuda" if on_gpu else None, use_kineto=on_gpu) as recorder,
    ):
        run()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    # A GPU's kernels are listed too, beside the operators that began them.
    averages = [each for each in recorder.key_averages() if each.device_type == DeviceType.CPU]
    times = {average.key: getattr(average, key) for average in averages}
    total = sum(times.values())
    ordered = sorted(times, key=times.__getitem__, reverse=True)
    return {name: times[name] / total for name in ordered}


def kernel_times(run: Callable[[], object], device: torch.device) -> list[dict[str, Any]]:
    """The kernels of a GPU, longest in all first, with their milliseconds, share and calls.

    On a CPU, its operators.
    """
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with _quiet(), profile(activities=activities) as recorder:
        run()
        if on_gpu:
            torch.cuda.synchronize(device)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    found = [
        (getattr(each, key), each.count, each.key)
        for each in recorder.key_averages()
        if each.device_type == kind and not each.is_user_annotation
    ]
    total = sum(microseconds for microseconds, _, _ in found)
    if not total:
        raise RuntimeError(f"torch's profiler recorded no kernels on {device.type}")
    return [
        {"kernel": name, "ms": time / 1000, "share": time / total, "calls": calls}
        for time, calls, name in sorted(found, reverse=True)
    ]


def shares_text(shares: Mapping[str, float]) -> str:
    """The largest shares in a line."""
    largest = list(shares.items())[:SHOWN]
    return ", ".join(f"{name.removeprefix('aten::')} {share:.0%}" for name, share in largest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Some builds of torch's profiler log each start and stop to the error stream."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
