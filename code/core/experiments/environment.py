"""What an experiment ran on: versions, commit, hardware."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "torch", "torchvision", "timm", "albumentations", "opencv-python-headless", "numpy",
    "pandas", "scikit-learn", "iterative-stratification", "hydra-core", "pydantic",
)  # fmt: skip


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Versions of the packages that compute, git commit of the code, processor and accelerator."""
    commit = _git("rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(PACKAGES),
        "git": commit and {"commit": commit, "changed": bool(_git("status", "--porcelain"))},
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "device": str(device),
            "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        },
    }


def command_line() -> str:
    """The command as it was typed, quoted for a shell."""
    return shlex.join(["python", *sys.argv])


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The version of each package, None where it is not installed."""
    return {name: _version(name) for name in names}


# Asked once in a process: what it imported at its start is what it computes with, also in a sweep
# during which files change.
@cache
def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


@cache
def _git(*arguments: str) -> str | None:
    """What git says about the checkout of this code; None outside of git."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _processor() -> str:
    """The processor's model; /proc/cpuinfo, where it exists, is more exact than `platform`."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
