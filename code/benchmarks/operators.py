"""Which of torch's operators a piece of work spends its time in."""

from collections.abc import Callable, Mapping

import torch
from torch.autograd.profiler import profile

SHOWN = 5


def operator_shares(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    """The share of each operator in the time of all, without what it calls; largest first."""
    on_gpu = device.type == "cuda"
    # Kineto knows the GPU's kernels, and tells of its start and stop on standard error.
    with profile(use_device="cuda" if on_gpu else None, use_kineto=on_gpu) as profiled:
        run()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    times = {average.key: getattr(average, key) for average in profiled.key_averages()}
    total = sum(times.values())
    ordered = sorted(times, key=times.__getitem__, reverse=True)
    return {name: times[name] / total for name in ordered}


def shares_text(shares: Mapping[str, float]) -> str:
    """The largest of them in a line."""
    largest = list(shares.items())[:SHOWN]
    return ", ".join(f"{name.removeprefix('aten::')} {share:.0%}" for name, share in largest)
