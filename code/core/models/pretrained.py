"""Backbones by their timm name, with ImageNet's weights or without."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from timm.models import PretrainedCfg, get_pretrained_cfg
from timm.models._hub import download_cached_file
from torch import nn

from core.errors import InputError
from core.models.weights import first_line
from core.models.weights_at_hand import at_hand, what_is_at_hand
from core.validation import nearest

# Without a network the hub's own downloads retry for most of a minute; one request that may take
# this long tells whether there is a network.
CONNECT_SECONDS = 5.0

HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def create_backbone(
    name: str, pretrained: bool, backbone_options: dict[str, Any], **settings: Any
) -> nn.Module:
    """timm's network `name` for three-channel images, built with `settings`.

    A setting that is zero is left out if the network does not have it. Raises InputError for an
    unknown name or tag, an option that the network refuses, and weights that are not available.
    """
    config = known_config(name)
    own = {"in_chans", "features_only", "global_pool", "pretrained_cfg", "checkpoint_path"}
    for key in (*own, *settings):
        if key in backbone_options:
            raise InputError(
                f"model: backbone_options={backbone_options}: {key} cannot be set here: use the "
                "parameters of the model itself, such as model.weights"
            )
    blame = f"backbone_options={backbone_options}: see timm.create_model"
    if packaged := at_hand(name):
        # With other weights or none too: a checkpoint continues with the same images.
        settings["pretrained_cfg_overlay"] = {"mean": packaged.mean, "std": packaged.std}
    elif pretrained:
        path = pretrained_file(name, config)
        settings["pretrained_cfg_overlay"] = {"file": str(path), "custom_load": config.custom_load}
        if not backbone_options:
            blame = f"{path}: delete this file to have it downloaded again"
    try:
        backbone = _build(name, pretrained and not packaged, backbone_options | settings)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, LookupError, AssertionError, SafetensorError) as e:
        if not (pretrained or backbone_options):
            raise
        raise InputError(f"model: {name} cannot be built ({first_line(e)}) with {blame}") from e
    if pretrained and packaged:
        packaged.load(backbone)
    return backbone


def pretrained_file(name: str, config: PretrainedCfg) -> Path:
    """Path of the pretrained weights of `name` on this machine, downloaded on first use.

    Raises InputError where there are none, or none in the cache and no network.
    """
    instead = (
        "give a local file with model.weights=FILE, or set model.pretrained=false; "
        f"{what_is_at_hand()}"
    )
    if not config.has_weights:
        raise InputError(f"model.pretrained=true: timm has no weights for {name}: {instead}")
    try:
        return _from_hub(config) if config.hf_hub_id else Path(download_cached_file(config.url))
    except Exception as error:  # each transport has errors of its own, and one remedy fits all
        wanted = f"{_hub_files(config)[0]} of {config.hf_hub_id}, from the Hugging Face hub"
        raise InputError(
            f"model.pretrained=true: cannot get {wanted if config.hf_hub_id else config.url} "
            f"({type(error).__name__}: {first_line(error)}): {instead}"
        ) from error


def known_config(name: str) -> PretrainedCfg:
    """What timm knows of this network's weights.

    Raises InputError where there is no such network, or no such tag of its weights.
    """
    architecture = name.partition(".")[0]
    if not timm.is_model(name):
        guess = nearest(architecture, timm.list_models())
        raise InputError(
            f"model: backbone={name!r}: timm has no network of this name{guess}; "
            "timm.list_models() lists them"
        )
    try:
        return get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError:
        known = timm.list_pretrained(f"{architecture}.*")
        raise InputError(
            f"model: backbone={name!r}: timm has no weights of this tag{nearest(name, known)}; "
            f"known: {', '.join(known) or 'none'}"
        ) from None


def _build(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except TypeError as error:
        unknown = [key for key in options if key.endswith("_rate") and key in str(error)]
        if not unknown:
            raise
        for key in unknown:
            if options[key] != 0:
                raise InputError(
                    f"model: {key}={options[key]}: {name} has no such rate: give model.{key}=0"
                ) from None
        known = {key: value for key, value in options.items() if key not in unknown}
        return _build(name, pretrained, known)


def _from_hub(config: PretrainedCfg) -> Path:
    repository, _, revision = config.hf_hub_id.partition("@")
    place = {"repo_id": repository, "revision": revision or None}
    for filename in _hub_files(config):
        cached = try_to_load_from_cache(filename=filename, **place)
        if isinstance(cached, str):
            return Path(cached)
    for filename in _hub_files(config):
        with suppress(EntryNotFoundError):
            get_hf_file_metadata(hf_hub_url(filename=filename, **place), timeout=CONNECT_SECONDS)
            return Path(hf_hub_download(filename=filename, **place))
    raise FileNotFoundError(f"{repository} holds none of {', '.join(_hub_files(config))}")


def _hub_files(config: PretrainedCfg) -> tuple[str, ...]:
    return (config.hf_hub_filename,) if config.hf_hub_filename else HUB_FILES
