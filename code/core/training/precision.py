"""The number format of the forward pass."""

from dataclasses import dataclass

import torch

from core.errors import InputError

# torch's names for processor instructions for bfloat16. Without them it emulates bfloat16, which is
# slower than float32.
_PROCESSOR_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")


@dataclass(frozen=True)
class Precision:
    """Convolutions and matrix products in `name` on `device_type`; weights stay float32.

    Losses and metrics are outside `autocast`: they are computed in float32 from the logits.
    """

    name: str = "float32"
    device_type: str = "cpu"

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        dtype = getattr(torch, self.name)
        return torch.autocast(self.device_type, dtype=dtype, enabled=self.name != "float32")

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """Keeps small gradients representable in float16; does nothing in other formats."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "float16")


FLOAT32 = Precision()


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`wanted`; `auto` is bfloat16 if the device computes in it natively, else float32."""
    if wanted == "float16" and device.type != "cuda":
        raise InputError(
            f"runtime.precision='float16': needs CUDA, and this runs on {device.type}: use "
            "bfloat16, float32 or auto"
        )
    if wanted == "auto":
        wanted = "bfloat16" if has_bfloat16(device) else "float32"
    return Precision(wanted, device.type)


def has_bfloat16(device: torch.device) -> bool:
    """Whether torch reports instructions for bfloat16 on the device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _PROCESSOR_CAPABILITIES)
