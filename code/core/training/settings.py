"""Settings of the training, the experiment and the machine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.training.trackers import TRACKERS
from core.validation import Settings, nearest

if TYPE_CHECKING:
    import torch


class TrainingSettings(Settings):
    """How the model is trained."""

    num_epochs: int = Field(50, ge=1, description="passes over the training part")
    learning_rate: float = Field(3e-4, gt=0, description="peak, after the warm-up")
    min_learning_rate: float = Field(1e-6, ge=0, description="end of the cosine")
    weight_decay: float = Field(0.05, ge=0, description="not on biases, norms, losses")
    warmup_epochs: float = Field(
        3, ge=0, description="linear warm-up, at most half of the training"
    )
    head_epochs: int = Field(
        0, ge=0, description="epochs, the first of num_epochs, that train the head alone"
    )
    gradient_clip_norm: float | None = Field(
        1.0, gt=0, description="largest gradient norm; null: unclipped"
    )
    optimizer: str = Field("adamw", description="an optimizer of timm by its name")
    accumulation_steps: int = Field(
        1, ge=1, description="batches whose gradients are summed for one update"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them in memory"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="evaluate an average of the weights, such as 0.999; null"
    )
    layer_decay: float | None = Field(
        None, gt=0, lt=1, description="factor on the learning rate per layer below the head"
    )
    early_stopping_patience: int | None = Field(
        10, ge=1, description="epochs without a better validation macro-F1; null: never stop"
    )
    tested_epoch: Literal["best", "last"] = Field(
        "best", description="best by validation macro-F1; last only to see whether it over-fits"
    )
    evaluate_train_part: bool = Field(
        False, description="also score the tested checkpoint on the training part"
    )
    folds: int | None = Field(
        None, ge=3, description="cross-validate with this many folds; null: one split"
    )
    checkpoint_minutes: float | None = Field(
        10, gt=0, description="also save within an epoch, this often; null: at its end only"
    )
    checkpoint_every_n_epochs: int | None = Field(
        None, ge=1, description="also keep every n-th epoch; null: best and last"
    )
    trackers: tuple[str, ...] = Field(
        (),
        description=f"where the figures of each epoch go as well: some of {', '.join(TRACKERS)}",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, values: Any) -> Any:
        """config.yaml of an earlier version has `tensorboard`, true or false."""
        if not isinstance(values, Mapping) or "tensorboard" not in values:
            return values
        trackers = ["tensorboard"] if values["tensorboard"] else []
        others = {key: value for key, value in values.items() if key != "tensorboard"}
        return {"trackers": trackers, **others}

    @field_validator("trackers")
    @classmethod
    def _known_trackers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if name not in TRACKERS:
                close = nearest(name, TRACKERS)
                raise ValueError(f"no tracker {name!r}{close}; known: {', '.join(TRACKERS)}")
        return tuple(dict.fromkeys(given))

    @field_validator("head_epochs")
    @classmethod
    def _fits_into_the_training(cls, given: int, info: ValidationInfo) -> int:
        if given > (num_epochs := info.data.get("num_epochs", given)):
            raise ValueError(f"expected at most training.num_epochs={num_epochs}")
        return given


class ExperimentSettings(Settings):
    """Name and place of the experiment."""

    name: str = Field(
        "experiment",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="folder is NAME_DATE_TIME",
    )
    seed: int = Field(
        42, ge=0, lt=2**32, description="of split, initial weights, order, augmentation"
    )
    results_dir: str = Field("experiments/results", description="where experiment folders are made")


class RuntimeSettings(Settings):
    """The machine that trains."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where there is one"
    )
    devices: int = Field(
        1, ge=1, description="processes that train together, each on a GPU of its own"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="of the model; auto: measured; bfloat16 only where the device computes in it "
        "natively",
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto", description="memory layout of the model; auto: measured, else on for CUDA"
    )
    compile: bool | Literal["auto"] = Field(
        False,
        description="compile the model: a minute or more first, then faster on CUDA; auto: "
        "measured on CUDA, in long trainings",
    )
    depthwise_gradient: Literal["auto", "torch", "matmul"] = Field(
        "auto",
        description="weight gradient of large depthwise kernels in bfloat16 on a CPU; auto: "
        "measured, else torch",
    )
    augment_on_device: bool | Literal["auto"] = Field(
        "auto",
        description="flip, shift and change images after the loader, to the same pixels; auto: on "
        "CUDA",
    )
    num_threads: int | None = Field(
        None, ge=1, description="torch's threads on the CPU; null: torch decides"
    )
    deterministic: bool = Field(True, description="only algorithms that repeat bit for bit")

    def uses_channels_last(self, device: "torch.device") -> bool:
        """Whether to use channels_last on this device."""
        return device.type == "cuda" if self.channels_last == "auto" else self.channels_last
