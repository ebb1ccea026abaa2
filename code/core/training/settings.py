"""Settings of the training, the experiment and the machine."""

from typing import Annotated, Literal

import torch
from pydantic import Field

from core.validation import Settings


class TrainingSettings(Settings):
    """How the model is trained."""

    num_epochs: Annotated[int, Field(ge=1, description="passes over the training part")] = 50
    learning_rate: Annotated[float, Field(gt=0, description="peak, after the warm-up")] = 3e-4
    min_learning_rate: Annotated[float, Field(ge=0, description="end of the cosine")] = 1e-6
    weight_decay: Annotated[float, Field(ge=0, description="not on biases, norms, losses")] = 0.05
    warmup_epochs: Annotated[
        float, Field(ge=0, description="linear warm-up, at most half of the training")
    ] = 3
    gradient_clip_norm: Annotated[
        float | None, Field(gt=0, description="largest gradient norm; null: unclipped")
    ] = 1.0
    optimizer: Annotated[str, Field(description="any optimizer of timm by its name")] = "adamw"
    accumulation_steps: Annotated[
        int, Field(ge=1, description="batches whose gradients are summed for one update")
    ] = 1
    gradient_checkpointing: Annotated[
        bool, Field(description="compute activations twice instead of keeping them in memory")
    ] = False
    ema_decay: Annotated[
        float | None,
        Field(gt=0, lt=1, description="evaluate an average of the weights, such as 0.999; null"),
    ] = None
    layer_decay: Annotated[
        float | None,
        Field(gt=0, lt=1, description="factor on the learning rate per layer below the head"),
    ] = None
    early_stopping_patience: Annotated[
        int | None,
        Field(ge=1, description="epochs without a better validation macro-F1; null: never stop"),
    ] = 10
    tested_epoch: Annotated[
        Literal["best", "last"],
        Field(description="best by validation macro-F1; last only to see whether it over-fits"),
    ] = "best"
    evaluate_train_part: Annotated[
        bool, Field(description="also score the tested checkpoint on the training part")
    ] = False
    folds: Annotated[
        int | None, Field(ge=3, description="cross-validate with this many folds; null: one split")
    ] = None
    checkpoint_minutes: Annotated[
        float | None,
        Field(gt=0, description="also save within an epoch, this often; null: at its end only"),
    ] = 10
    checkpoint_every_n_epochs: Annotated[
        int | None,
        Field(ge=1, description="also keep every n-th epoch; null: best and last"),
    ] = None
    tensorboard: Annotated[bool, Field(description="also write TensorBoard logs")] = False


class ExperimentSettings(Settings):
    """Name and place of the experiment."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder is NAME_DATE_TIME")
    ] = "experiment"
    seed: Annotated[
        int, Field(ge=0, lt=2**32, description="of split, initial weights, order, augmentation")
    ] = 42
    results_dir: Annotated[str, Field(description="where experiment folders are made")] = (
        "experiments/results"
    )


class RuntimeSettings(Settings):
    """The machine that trains."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"], Field(description="auto: CUDA where there is one")
    ] = "auto"
    devices: Annotated[
        int, Field(ge=1, description="processes that train together, each on a GPU of its own")
    ] = 1
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Field(description="of the model; auto: bfloat16 where the device computes in it natively"),
    ] = "auto"
    channels_last: Annotated[
        bool | Literal["auto"], Field(description="memory layout of the model; auto: on CUDA")
    ] = "auto"
    compile: Annotated[
        bool, Field(description="compile the model: a minute or more first, then faster on CUDA")
    ] = False
    depthwise_gradient: Annotated[
        Literal["torch", "matmul"],
        Field(description="weight gradient of large depthwise kernels in bfloat16 on a CPU"),
    ] = "torch"
    num_threads: Annotated[
        int | None, Field(ge=1, description="torch's threads on the CPU; null: torch decides")
    ] = None
    deterministic: Annotated[bool, Field(description="only algorithms that repeat bit for bit")] = (
        True
    )

    def uses_channels_last(self, device: torch.device) -> bool:
        """Whether to use channels_last on this device."""
        return device.type == "cuda" if self.channels_last == "auto" else self.channels_last
