"""What can be measured, and the options of each benchmark."""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def positive(text: str) -> int:
    """A whole number above 0, as argparse reads it."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def device(text: str) -> "torch.device":
    """A device of torch, as argparse reads it."""
    import torch

    try:
        found = torch.device(text)
    except RuntimeError as error:
        raise ValueError from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("torch finds no CUDA device here: use cpu")
    return found


def _option(default: Any, help: str, **flag: Any) -> Any:
    return field(default=default, metadata={"help": help, **flag})


_NETWORKS = (
    "resnet18", "mobilenetv3_large_100", "regnety_004", "convnext_atto", "efficientnet_b2",
)  # fmt: skip


def _usual_device() -> "torch.device":
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


_SHAPES = ("8x4", "8x4x256x1600", "1x4x64x128x128")


@dataclass(frozen=True)
class Options:
    """The options of all benchmarks with their usual defaults; each benchmark reads its own."""

    losses: Sequence[str] = _option((), "only these; default: all", nargs="+", metavar="NAME")
    shapes: Sequence[str] = _option(_SHAPES, "of the logits", nargs="+", metavar="SIZExSIZE")
    compile: bool = _option(False, "measure through torch.compile as well", action="store_true")
    budget_seconds: float = _option(2.0, "for each loss and shape", type=float, metavar="S")
    minutes: float = _option(7.5, "most minutes, apart from the start", type=float, metavar="M")
    rounds: int = _option(5, "turns that each contender takes", type=positive, metavar="N")
    data_root: Path | None = field(
        default=None,
        metadata={"help": "default: procedural strips", "type": Path, "metavar": "DIR"},
    )
    num_images: int = _option(64, "number of strips", type=positive, metavar="N")
    image_size: tuple[int, int] = _option(
        (256, 1600), "of the strips", type=positive, nargs=2, metavar=("H", "W")
    )
    batch_size: int = _option(4, "strips in a batch", type=positive, metavar="N")
    model: str = _option(
        "convnext_tiny_cbam", "a registered model, or a network of timm", metavar="NAME"
    )
    models: Sequence[str] = _option(
        _NETWORKS, "registered models, or networks of timm", nargs="+", metavar="NAME"
    )
    precision: str = _option(
        "auto", "that ours computes in", choices=("auto", "float32", "bfloat16"), metavar="NAME"
    )
    threads: int = _option(1, "threads of torch on the CPU", type=positive, metavar="N")
    starts: Sequence[str] = _option(
        ("scratch", "scratch_mask_head", "synthetic_defects", "imagenet", "simclr", "vicreg",
         "barlow_twins", "moco", "synthetic_defects_backbone"),
        "initial weights, in this order", nargs="+", metavar="NAME",
    )  # fmt: skip
    detectors: Sequence[str] = _option(
        ("high_pass", "memory_bank", "memory_bank_even", "gaussian",
         "gaussian_fine", "gaussians", "autoencoder_none", "autoencoder_vae",
         "autoencoder_rvq", "autoencoder_rvq_vae", "autoencoder_dac_rvq",
         "autoencoder_dac_rvq_vae", "autoencoder_wasserstein", "synthetic_defects"),
        "these alone", nargs="+", metavar="NAME",
    )  # fmt: skip
    labels: Sequence[int] = _option(
        (150, 60, 600),
        "labelled strips, at most 600; with --data-root, of each class",
        type=positive,
        nargs="+",
        metavar="N",
    )
    seeds: Sequence[int] = _option((1, 2, 3), "seeds", type=positive, nargs="+", metavar="N")
    test_images: int = _option(1500, "labelled strips to test on", type=positive, metavar="N")
    num_steps: int = _option(700, "updates of each training", type=positive, metavar="N")
    num_epochs: int = _option(8, "of each pretraining", type=positive, metavar="N")
    sweep_dir: Path = field(
        default=Path("experiments/results/pretraining_sweep"),
        metadata={"help": "where the runs are, and go on", "type": Path, "metavar": "DIR"},
    )
    kinds: Sequence[str] = _option(
        ("uniform", "missing", "borderline"), "kinds of planted errors", nargs="+", metavar="KIND"
    )
    only_table: bool = _option(False, "run nothing, print what is finished", action="store_true")
    device: "torch.device" = field(
        default_factory=_usual_device,
        metadata={"help": "cpu or cuda; default: cuda if there is one", "type": device},
    )


@dataclass(frozen=True)
class Subject:
    """What one benchmark measures, the options that it reads, and its own defaults."""

    title: str
    options: Sequence[str]
    defaults: dict[str, Any] = field(default_factory=dict)
    epilog: str = ""


_LOSSES = ("losses", "shapes", "compile", "budget_seconds", "device")
_STRIPS = ("data_root", "num_images", "image_size")
_MODEL = ("image_size", "batch_size", "model", "threads", "device")
_EPOCH = ("rounds", "data_root", "num_images", *_MODEL)
_REAL_TABLE = {"num_images": 12568, "image_size": (64, 400), "batch_size": 8}
_SLIM = {"model": "resnet10_slim"}

_OPENVINO = "Measures OpenVINO as well where it is installed: pip install openvino"
_FASTAI = """\
Measures fastai as well where it is installed. It requires torchvision, so it goes into a folder of
its own, without its dependencies:

  pip install --no-deps --target DIR fastai==2.8.12 fastcore==2.2.39 fastprogress==1.0.3 \\
      fasttransform==0.0.5 plum-dispatch fastdownload beartype requests charset-normalizer \\
      urllib3 idna certifi ipython traitlets cloudpickle apswutils rich markdown-it-py mdurl \\
      pygments
  PYTHONPATH=DIR python code/benchmark.py trainer
"""

SUBJECTS = {
    name: Subject(*about)
    for name, *about in (
        ("losses", "time and peak memory of every loss and of other libraries", _LOSSES),
        ("loader", "strips from the disk to batches", ("rounds", *_STRIPS, "batch_size", "threads"),
         {"batch_size": 8}),
        ("computation", "layouts and precisions of networks, and what auto chooses",
         ("rounds", "models", "image_size", "batch_size", "threads", "device"),
         {"image_size": (128, 400), "batch_size": 8}),
        ("step", "forward, backward, update", ("rounds", *_MODEL), {"rounds": 3}),
        ("inference", "batches to logits", ("rounds", *_MODEL), {"batch_size": 1}, _OPENVINO),
        ("predict", "all of predict.py", ("rounds", *_STRIPS, "model", "threads"),
         {"num_images": 1000, "rounds": 3}),
        ("split", "the stratified split of 12,568 strips", ("rounds",)),
        ("metrics", "figures with intervals of 1,886 strips", ("rounds",)),
        ("thresholds", "the F1 that thresholds from few images keep", ("rounds",), {"rounds": 60}),
        ("epoch", "the trainer and a bare loop", _EPOCH,
         {"num_images": 400, "image_size": (128, 800), "batch_size": 16, **_SLIM}),
        ("frozen", "epochs that keep what frozen stages compute", _EPOCH,
         {"image_size": (64, 400), "batch_size": 8, "model": "resnet18"}),
        ("trainer", "whole trainings: a loop like timm's, fastai, ours", (*_EPOCH, "precision"),
         {"rounds": 2, "num_images": 40}, _FASTAI),
        ("device", "checks and speed of a GPU: parity, strips a second, kernels",
         ("minutes", "num_images", *_MODEL), {"num_images": 768, "batch_size": 16}),
        ("pretraining", "few labels after each kind of pretraining, from scratch and ImageNet",
         ("starts", "labels", "seeds", "data_root", "num_images", "image_size", "test_images",
          "num_steps", "num_epochs", "sweep_dir", "only_table", "threads"),
         {"num_images": 1500, "image_size": (64, 400)}),
        ("novelty", "detectors of novelty on magnetic tiles and procedural strips",
         ("detectors", "seeds", "data_root", "num_images", "image_size", "test_images",
          "num_steps", "sweep_dir", "only_table", "threads"),
         {"num_images": 800, "image_size": (64, 400), "test_images": 40,
          "sweep_dir": Path("experiments/results/novelty_sweep")}),
        ("review", "a whole review of planted label errors, and what retraining was worth",
         ("kinds", "seeds", "num_images", "image_size", "test_images", "num_epochs", "sweep_dir",
          "only_table", "threads"),
         {"num_images": 2400, "image_size": (64, 400), "num_epochs": 10,
          "sweep_dir": Path("experiments/results/review_sweep")}),
        ("memory", "peak memory of a training on a table as long as the real one",
         (*_STRIPS, "batch_size", "model", "device"), {**_REAL_TABLE, **_SLIM}),
    )
}  # fmt: skip


def parse(arguments: Sequence[str] | None, description: str) -> dict[str, Any]:
    """The subject, its options and `output`, from the command line or by default."""
    parser = argparse.ArgumentParser(description=description)
    parsers = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    flags = {option.name: option.metadata for option in fields(Options)}
    for name, subject in SUBJECTS.items():
        raw = argparse.RawDescriptionHelpFormatter
        one = parsers.add_parser(
            name, help=subject.title, epilog=subject.epilog, formatter_class=raw
        )
        defaults = {option.name: option.default for option in fields(Options)} | subject.defaults
        for option in subject.options:
            default = None if defaults[option] is MISSING else defaults[option]
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
            flag = {**flags[option], "default": default}
            flag["help"] += f"; default: {shown}" if shown else ""
            one.add_argument(f"--{option.replace('_', '-')}", **flag)
        one.add_argument("--output", type=Path, metavar="FILE", help="write the rows as JSON")
    given = vars(parser.parse_args(arguments))
    if "device" in given:
        given["device"] = given["device"] or _usual_device()
    return given
