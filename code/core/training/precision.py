"""In which numbers the forward pass computes."""

from dataclasses import dataclass

import torch

from core.errors import InputError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What torch calls a processor's instructions for bfloat16; without one it emulates them, slower
# than float32.
_PROCESSOR_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True)
class Precision:
    """Convolutions and matrix products in `name` on `device_type`; weights stay float32.

    Losses and metrics are outside of `autocast`: they are computed in float32 from the logits.
    """

    name: str = "float32"
    device_type: str = "cpu"

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(
            self.device_type, dtype=_DTYPES[self.name], enabled=self.name != "float32"
        )

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """Keeps small gradients above float16's smallest number; does nothing in other numbers."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "float16")


FLOAT32 = Precision()


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`wanted`, or with `auto` bfloat16 where the device computes in it natively, else float32.

    Raises:
        InputError: float16 on a CPU, whose gradients would vanish for want of fast arithmetic.
    """
    if wanted == "float16" and device.type != "cuda":
        raise InputError(
            f"runtime.precision='float16': needs CUDA, and this runs on {device.type}: use "
            "bfloat16, float32 or auto"
        )
    if wanted == "auto":
        wanted = "bfloat16" if has_bfloat16(device) else "float32"
    return Precision(wanted, device.type)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16, by what torch says of it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _PROCESSOR_CAPABILITIES)
