"""Weights from a local file, every key of which is accounted for."""

import logging
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from timm.models import load_state_dict
from torch import Tensor, nn

from core.errors import InputError

log = logging.getLogger(__name__)

EXAMPLES = 3

MASK_PARTS = ("mask_head", "fusion")
LAST_OF_MASKS = ("mask_head.classifier", "mask_head.log_odds")


def load_weights(model: nn.Module, path: str, head: Sequence[str]) -> set[str]:
    """Load `path` into `model`, whose `backbone` is a timm network.

    The file is safetensors or a state_dict, of the timm network alone or of a whole model of this
    project. Layers named in `head` stay as they are if the file has none, or another number of
    classes, and so does the last layer of a mask head. Attention and a mask head that the file does
    not have stay as they are; a mask head that the model does not have is left in the file. Raises
    InputError where there is no such file, or it is of another format or network. Returns the names
    of the tensors that stayed as they were.
    """
    state = read_state_dict(path)
    if not any(key.startswith("backbone.") for key in state):
        state = {f"backbone.{key}": value for key, value in state.items()}
    own = model.state_dict()
    unused = [key for key in state if key not in own and _only_in([key], MASK_PARTS)]
    state = {key: value for key, value in state.items() if key not in unused}
    wrong = [key for key in state if key in own and state[key].shape != own[key].shape]
    for layers in (head, (*LAST_OF_MASKS, "fusion")):
        if any(_only_in([key], layers) for key in wrong):
            state = {key: value for key, value in state.items() if not _only_in([key], layers)}
            wrong = [key for key in wrong if not _only_in([key], layers)]
    shapes = [f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}" for key in wrong]
    _refuse(path, "of another shape", shapes)
    result = model.load_state_dict(state, strict=False)
    fresh = (*head, "attention", *MASK_PARTS)
    missing = [key for key in result.missing_keys if not _only_in([key], fresh)]
    _refuse(path, "missing", missing)
    _refuse(path, "unexpected", result.unexpected_keys)
    layers = [key for key in result.missing_keys if key != "mask_head.log_odds"]
    left = list(dict.fromkeys(key.rpartition(".")[0] for key in layers))
    log.info(
        "model.weights=%s: %d of %d tensors of the model are from this file; left as they were: %s",
        path, len(own) - len(result.missing_keys), len(own), _shown(left) or "nothing",
    )  # fmt: skip
    if unused:
        parts = " and ".join(dict.fromkeys(key.partition(".")[0] for key in unused))
        log.info("model.weights=%s: its %s stayed in the file: the model has none", path, parts)
    return set(result.missing_keys)


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The tensors in a safetensors file or a PyTorch checkpoint, read without running its code."""
    where = f"model.weights={path}"
    if not Path(path).is_file():
        found = "is a folder" if Path(path).is_dir() else "does not exist"
        raise InputError(
            f"{where}: {found}: give a .safetensors file or a state_dict saved by torch.save, or "
            "model.weights=null"
        )
    expected = "expected safetensors or a state_dict saved by torch.save"
    try:
        state = load_state_dict(path, device="cpu", weights_only=True)
    except Exception as error:  # a file of another format can raise anything in the unpickler
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{where}: cannot be read ({reason}): {expected}") from error
    for key, value in state.items():
        if not isinstance(value, Tensor):
            found = f"{key} is of type {type(value).__name__}, not a tensor"
            raise InputError(f"{where}: {found}: {expected}")
    if not state:
        raise InputError(f"{where}: holds no tensors: {expected}")
    return state


def describe_file(path: str) -> dict[str, str]:
    """The `source` of the weights in a file: its name, for an encoder with that of its folder.

    `pretrained_by` is what a pretraining wrote about its encoder: method, epochs and images.
    """
    file, card = Path(path), read_card(path)
    if not {"method", "learned_from"} <= card.keys():
        return {"source": file.name}
    by = f"{card['method']}, {card.get('epochs')} epochs, {card['learned_from']}"
    return {"source": f"{file.absolute().parent.name}/{file.name}", "pretrained_by": by}


def read_card(path: str) -> dict[str, str]:
    """What a pretraining wrote into the file of its encoder; empty for any other file."""
    try:
        with safe_open(path, "pt") as content:
            return content.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def first_line(error: Exception) -> str:
    """What the error says, cut off at 200 characters."""
    return next(iter(str(error).strip().splitlines()), "no reason given")[:200]


def _only_in(keys: Sequence[str], layers: Sequence[str]) -> bool:
    prefixes = tuple(f"{layer}." for layer in layers)
    return bool(keys) and all(f"{key}.".startswith(prefixes) for key in keys)


def _shown(keys: Sequence[str]) -> str:
    shown = [key.removeprefix("backbone.") for key in keys[:EXAMPLES]]
    return ", ".join(shown) + (", ..." if len(keys) > EXAMPLES else "")


def _refuse(path: str, what: str, keys: Sequence[str]) -> None:
    if keys:
        raise InputError(
            f"model.weights={path}: weights {what}: {len(keys)} ({_shown(keys)}): the file "
            "must be of the same network as model.name"
        )
