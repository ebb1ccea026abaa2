"""Limits while a network is built from a file: no larger than the weights that it is to take."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as torch_modules

from core.errors import InputError
from core.files.reading import MEBIBYTE
from core.machine.memory_limit import memory_limit

SECONDS = 60.0
# Some parameters are made and then replaced; a parameter has some modules without any around it.
_NUMBERS_PER_WEIGHT, _MODULES_PER_TENSOR = 4, 20
_MORE_NUMBERS, _MORE_MODULES = 1 << 24, 1000
_MORE_MEMORY = 4096 * MEBIBYTE
_BYTES_PER_WEIGHT = 32


@contextmanager
def no_larger_than(weights: Mapping[str, Any]) -> Iterator[None]:
    """End the building of a network, within, that `weights` could never fill.

    Options such as a depth or a width come from a file, and cost nothing to write.

    Raises:
        InputError: far more modules or parameters than weights, or more than a minute.
    """
    tensors = [value for value in weights.values() if isinstance(value, torch.Tensor)]
    num_weights = sum(tensor.numel() for tensor in tensors)
    left = {
        "parameters": _NUMBERS_PER_WEIGHT * num_weights + _MORE_NUMBERS,
        "modules": _MODULES_PER_TENSOR * len(tensors) + _MORE_MODULES,
    }
    thread, end = threading.get_ident(), time.monotonic() + SECONDS

    def spend(what: str, amount: int) -> None:
        if threading.get_ident() != thread:
            return
        left[what] -= amount
        if left[what] < 0:
            raise InputError(f"its options build far more {what} than it has weights for")
        if time.monotonic() > end:
            raise InputError(f"its options build a network for more than {SECONDS:g} seconds")

    def count_numbers(owner: torch.nn.Module, name: str, value: torch.Tensor | None) -> None:
        spend("parameters", 0 if value is None else value.numel())

    def count_module(owner: torch.nn.Module, name: str, value: torch.nn.Module | None) -> None:
        spend("modules", 1)

    handles = (
        torch_modules.register_module_parameter_registration_hook(count_numbers),
        torch_modules.register_module_buffer_registration_hook(count_numbers),
        torch_modules.register_module_module_registration_hook(count_module),
    )
    try:
        with memory_limit(_BYTES_PER_WEIGHT * num_weights + _MORE_MEMORY):
            yield
    finally:
        for handle in handles:
            handle.remove()
