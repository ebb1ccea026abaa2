"""The whole of predict.py, start and file included, beside decoding and the model alone."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.epoch import experiment
from benchmarks.measurement import Contender
from benchmarks.options import Options
from core.data.images import read_image
from core.exporting.exporting import export
from core.predicting.onnx_model import OnnxModel
from core.predicting.predictor import Predictor
from core.predicting.trained_model import TrainedModel
from core.running.composition import train
from core.training.settings import ExperimentSettings, TrainingSettings

ITEM = "strip"
# Drawn and trained on for a step or two; they are predicted over and over.
NUM_STRIPS = 30
BATCH_SIZE = 16
SCRIPT = Path(__file__).resolve().parents[1] / "predict.py"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """What cannot be spared first: each strip decoded, each batch asked, by a model in memory.

    Then the command, and both once more with the exported model.
    """
    path = trained_experiment(options, folder)
    images = sorted((folder / "strips").glob("*/train_images/*.jpg"))
    if options.data_root:
        images = sorted((options.data_root / "train_images").iterdir())
    images = [images[number % len(images)] for number in range(options.num_images)]
    file = export(path, "onnx", None, None)
    pairs = {
        "PyTorch": (TrainedModel(path, torch.device("cpu")), path),
        "ONNX Runtime": (OnnxModel(file, str(file)), file),
    }
    found = []
    for name, (model, source) in pairs.items():
        alone = Contender(f"decoding and {name} alone", DecodeAndAsk(model, images), len(images))
        command = Command(source, images, folder / "predictions.csv")
        found.append(alone)
        found.append(Contender(f"predict.py, {name}", command, len(images), beside=alone.name))
    return found


class DecodeAndAsk:
    """One strip after the other from the disk, a batch at a time to the model."""

    def __init__(self, model: Predictor, images: Sequence[Path]) -> None:
        self.model, self.images = model, images

    def __call__(self) -> None:
        size, channels = self.model.signature.image_size, self.model.signature.channels
        for start in range(0, len(self.images), BATCH_SIZE):
            paths = self.images[start : start + BATCH_SIZE]
            strips = np.stack([read_image(path, size, channels) for path in paths])
            self.model(strips[:, None] if channels == 1 else strips.transpose(0, 3, 1, 2))


class Command:
    """`python code/predict.py SOURCE -`, the images listed on standard input."""

    def __init__(self, source: Path, images: Sequence[Path], output: Path) -> None:
        self.words = [sys.executable, str(SCRIPT), str(source), "-", "--output", str(output)]
        self.listed = "".join(f"{path}\n" for path in images)

    def __call__(self) -> None:
        # As many threads as the models in this process have.
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        subprocess.run(
            self.words, input=self.listed, env=environment, text=True, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip


def trained_experiment(options: Options, folder: Path) -> Path:
    """Folder of a completed experiment of the chosen model; what it has learned does not matter."""
    config = experiment(replace(options, num_images=NUM_STRIPS), folder)
    settings = {
        "training": TrainingSettings(num_epochs=1),
        "experiment": ExperimentSettings(results_dir=str(folder / "results")),
        # What is measured afterwards in this process computes as in the command.
        "runtime": config.runtime.model_copy(update={"deterministic": False}),
    }
    train(replace(config, **settings))
    (path,) = (folder / "results").iterdir()
    return path
