"""How a training is computed: what was given, what was chosen, and what there is to choose from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from core.command.config import TrainConfig
from core.data.settings import DataSettings
from core.models.depthwise import large_depthwise
from core.training.precision import choose_precision
from core.training.settings import RuntimeSettings

AUTO = "auto"


class Configured(Protocol):
    """The config of a training or a pretraining."""

    data: DataSettings
    runtime: RuntimeSettings


@dataclass(frozen=True)
class Computation:
    """What is measured where it is `auto`: it changes the time of a training, not its meaning."""

    precision: Literal["float32", "bfloat16", "float16"]
    channels_last: bool
    depthwise_gradient: Literal["torch", "matmul"] = "torch"
    compile: bool = False
    num_workers: Annotated[int, Field(ge=0, le=256)] = 0

    @classmethod
    def of(cls, config: Configured, device: torch.device) -> "Computation":
        """That of a config on a device; what is `auto` there is the default."""
        runtime = config.runtime
        return cls(
            precision=choose_precision(runtime.precision, device).name,
            channels_last=runtime.uses_channels_last(device),
            depthwise_gradient="matmul" if runtime.depthwise_gradient == "matmul" else "torch",
            compile=runtime.compile is True,
            num_workers=config.data.workers,
        )

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "NCHW"
        parts = [self.precision, layout]
        parts += ["matmul gradient"] if self.depthwise_gradient == "matmul" else []
        return ", ".join([*parts, "compiled"] if self.compile else parts)


def automatic(config: TrainConfig) -> list[str]:
    """The fields of a `Computation` that are `auto` in a config."""
    given = given_values(config)
    return [name for name, value in given.items() if value == AUTO]


def given_values(config: TrainConfig) -> dict[str, Any]:
    """The fields of a `Computation` as the config has them."""
    return {
        field.name: getattr(_section(config, field.name), field.name)
        for field in fields(Computation)
    }


def applied(config: TrainConfig, chosen: Computation) -> TrainConfig:
    """The config with each `auto` replaced by what was chosen."""
    names = automatic(config)
    values = {name: value for name, value in asdict(chosen).items() if name in names}
    workers = {name: values.pop(name) for name in ("num_workers",) if name in values}
    return replace(
        config,
        runtime=config.runtime.model_copy(update=values),
        data=config.data.model_copy(update=workers),
    )


def step_contenders(
    config: TrainConfig, usual: Computation, device: torch.device, model: nn.Module
) -> list[Computation]:
    """What may be chosen for a step, the default first; without compiling.

    Precision is lowered only where the device computes in it natively, and the gradient by matrix
    products is for bfloat16 on a CPU.
    """
    names = automatic(config)
    precisions = [usual.precision]
    if "precision" in names:
        native = choose_precision(AUTO, device).name
        precisions += [name for name in ("float32", native) if name not in precisions]
    layouts = [usual.channels_last]
    if "channels_last" in names:
        layouts.append(not usual.channels_last)
    gradients = [usual.depthwise_gradient]
    if "depthwise_gradient" in names and device.type == "cpu" and large_depthwise(model):
        gradients.append("matmul")
    return [
        replace(usual, precision=precision, channels_last=layout, depthwise_gradient=gradient)
        for precision, layout, gradient in product(precisions, layouts, gradients)
        if gradient == "torch" or precision == "bfloat16"
    ]


def recorded(computation: Computation) -> dict[str, Any]:
    """The fields as results.json has them."""
    values = asdict(computation)
    compiled = values.pop("compile")
    return {**values, "compiled": compiled}


def read_computation(record: Mapping[str, Any], usual: Computation) -> Computation | None:
    """What `recorded` made, with `usual` for what an earlier version lacks; None: it is damaged."""
    values = recorded(usual)
    values |= {name: record[name] for name in values if record.get(name) is not None}
    values["compile"] = values.pop("compiled")
    try:
        return TypeAdapter(Computation).validate_python(values)
    except ValidationError:
        return None


def _section(config: TrainConfig, name: str) -> Any:
    return config.data if name == "num_workers" else config.runtime
