"""Weights from a local file, every key accounted for."""

from collections.abc import Sequence
from pathlib import Path

from timm.models import load_state_dict
from torch import Tensor, nn

from core.errors import InputError

EXAMPLES = 3


def load_weights(model: nn.Module, path: str, head: Sequence[str]) -> bool:
    """Load `path` into `model`, whose part `backbone` is a timm network.

    Returns whether the file also brought a trained head for these classes.

    The file is safetensors or a state_dict, of the timm network alone or of a whole model of
    this project. Layers named in `head` are left as they are where the file has none or another
    number of classes, and so is attention that the file does not know.

    Raises:
        InputError: no such file, another format, or keys or shapes of another network.
    """
    state = read_state_dict(path)
    if not any(key.startswith("backbone.") for key in state):
        state = {f"backbone.{key}": value for key, value in state.items()}
    own = model.state_dict()
    wrong = [key for key in state if key in own and state[key].shape != own[key].shape]
    if _only_in(wrong, head):
        state = {key: value for key, value in state.items() if not _only_in([key], head)}
        wrong = []
    shapes = [f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}" for key in wrong]
    _refuse(path, "of another shape", shapes)
    result = model.load_state_dict(state, strict=False)
    fresh = (*head, "attention")
    missing = [key for key in result.missing_keys if not _only_in([key], fresh)]
    _refuse(path, "missing", missing)
    _refuse(path, "unexpected", result.unexpected_keys)
    return not any(_only_in([key], head) for key in result.missing_keys)


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The tensors in a safetensors file or a PyTorch checkpoint, read without running its code.

    Raises:
        InputError: no such file, or another format.
    """
    if not Path(path).is_file():
        found = "is a folder" if Path(path).is_dir() else "does not exist"
        raise InputError(
            f"model.weights={path}: {found}: give a .safetensors file or a state_dict saved by "
            "torch.save, or model.weights=null"
        )
    expected = "expected safetensors or a state_dict saved by torch.save"
    try:
        state = load_state_dict(path, device="cpu", weights_only=True)
    except Exception as error:  # the unpickler can trip over anything in a file of another format
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise InputError(
            f"model.weights={path}: cannot be read ({type(error).__name__}: {reason}): {expected}"
        ) from error
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"model.weights={path}: {key} is of type {type(value).__name__}, "
                f"not a tensor: {expected}"
            )
    if not state:
        raise InputError(f"model.weights={path}: holds no tensors: {expected}")
    return state


def _only_in(keys: Sequence[str], layers: Sequence[str]) -> bool:
    prefixes = tuple(f"{layer}." for layer in layers)
    return bool(keys) and all(key.startswith(prefixes) for key in keys)


def _refuse(path: str, what: str, keys: Sequence[str]) -> None:
    if keys:
        shown = [key.removeprefix("backbone.") for key in keys[:EXAMPLES]]
        more = ", ..." if len(keys) > EXAMPLES else ""
        raise InputError(
            f"model.weights={path}: weights {what}: {len(keys)} "
            f"({', '.join(shown)}{more}): the file must be of the same network as model.name"
        )
