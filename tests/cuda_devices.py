"""The devices that a check runs on: the CPU everywhere, CUDA where torch finds it."""

import os

import pytest
import torch

# cuBLAS is deterministic with this, which it reads when it is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

ON_CUDA = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
)
"""Marks of a test that needs CUDA: `pytest -m cuda` runs them."""

on_cuda = pytest.param(CUDA, marks=ON_CUDA, id="cuda")
each_device = pytest.mark.parametrize("device", [pytest.param(CPU, id="cpu"), on_cuda])
