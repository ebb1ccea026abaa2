"""The encoder of a finished training or pretraining: from images to features of length 1."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.data.images import ImageFormat
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.reading import Experiment, read_any
from core.experiments.schema import NOVELTY
from core.files.resizing import size_rule
from core.machine.device import choose_device, keep_freed_memory
from core.models.encoder import as_encoder
from core.models.parameters import without_weights
from core.models.registry import get_registry
from core.predicting.building import no_larger_than
from core.predicting.trained_model import read_final_model

ENCODER_FILE = "encoder.safetensors"
# A pretraining with masks may keep what predicted them.
_HEADS = ("mask_head.", "fusion.")


class Encoder:
    """Images uint8 (batch, channels, height, width) to features float32 (batch, dimensions)."""

    def __init__(self, experiment: Experiment, model: nn.Module, image_format: ImageFormat) -> None:
        self.experiment, self.image_format = experiment, image_format
        self.device = choose_device()
        keep_freed_memory()
        self.model = as_encoder(model, str(experiment.path)).eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        features = self.model(torch.from_numpy(images).to(self.device)).float()
        lengths = features.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return (features / lengths).cpu().numpy()


def open_encoder(location: Path) -> Encoder:
    """The encoder of the experiment of that folder or name.

    Raises:
        InputError: no completed experiment, an exported model, a cross-validation, or a model
            without a backbone.
    """
    if location.suffix in (".onnx", ".zip") and not location.is_dir():
        raise InputError(
            f"{location}: an exported model returns probabilities and no features: name the "
            "experiment that it was exported from"
        )
    experiment = read_any(find_experiment(location))
    if experiment.kind == NOVELTY:
        raise InputError(
            f"{experiment.path} is a detector of novelty: name a training or a pretraining"
        )
    if experiment.is_pretraining:
        return Encoder(experiment, _pretrained(experiment), _pretraining_format(experiment))
    final = read_final_model(experiment)
    return Encoder(experiment, final.build(), final.image_format)


def _pretrained(experiment: Experiment) -> nn.Module:
    """The network of a pretraining with the weights of its encoder.safetensors."""
    file = experiment.path / ENCODER_FILE
    state = _read_tensors(file)
    values = without_weights(experiment.results["config"]["model"])
    name = values.pop("name", None)
    values |= {"mask_head": False, "fusion": None, "num_classes": 1}
    try:
        with no_larger_than(state):
            model = as_encoder(get_registry().instantiate(name, **values), str(file))
        model.load_state_dict(state)
    except Exception as error:  # options from a file can make any constructor fail
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise InputError(f"{file}: does not fit model {name} of this version ({reason})") from error
    return model


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        state = load_file(file)
    except Exception as error:  # a file of another format can raise anything
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise InputError(
            f"{file}: cannot be read ({reason}); expected the encoder of a pretraining: copy it "
            "again, or pretrain again"
        ) from None
    return {key: value for key, value in state.items() if not key.startswith(_HEADS)}


def _pretraining_format(experiment: Experiment) -> ImageFormat:
    """How the pretraining read its images."""
    data = experiment.results["config"].get("data") or {}
    mode = data.get("resize_mode", "stretch") if data.get("resize") else None
    size = size_rule(tuple(experiment.results["data"]["image_size"]), mode)
    depth = experiment.look_up("data", "bit_depth") or 8
    return ImageFormat(size, data.get("channels", 1), depth)
