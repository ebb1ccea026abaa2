"""All of predict.py, its start included, compared with decoding and the model alone."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.workload import data_root, experiment
from core.exporting.exporting import export
from core.predicting.onnx_model import OnnxModel
from core.predicting.predictor import Predictor
from core.predicting.stream import read_strip
from core.predicting.trained_model import TrainedModel
from core.running.composition import train

ITEM = "strip"
# Drawn and trained on for a step or two; they are predicted over and over.
NUM_STRIPS = 30
BATCH_SIZE = 16
SCRIPT = Path(__file__).resolve().parents[1] / "predict.py"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The least that has to be done first: each strip decoded, each batch given to the model.

    Then the command, and both once more with the exported model.
    """
    few = replace(options, num_images=NUM_STRIPS)
    images = sorted((data_root(few, folder) / "train_images").iterdir())
    images = [images[number % len(images)] for number in range(options.num_images)]
    # What it learns does not matter.
    train(experiment(few, folder, "training.num_epochs=1"))
    (path,) = (folder / "results").iterdir()
    file = export(path, "onnx", None, None)
    pairs = {
        "PyTorch": (TrainedModel(path), path),
        "ONNX Runtime": (OnnxModel(file, str(file)), file),
    }
    found = []
    for name, (model, source) in pairs.items():
        alone, command = f"decoding and {name} alone", f"predict.py, {name}"
        found.append(Contender(alone, partial(decode_and_predict, model, images), len(images)))
        whole = partial(run_command, source, images, folder / "predictions.csv")
        found.append(Contender(command, whole, len(images), beside=alone))
    return found


def decode_and_predict(model: Predictor, images: Sequence[Path]) -> None:
    """One strip after the other from the disk, a batch at a time to the model."""
    for start in range(0, len(images), BATCH_SIZE):
        paths = images[start : start + BATCH_SIZE]
        model(np.stack([read_strip(path, model.signature) for path in paths]))


def run_command(source: Path, images: Sequence[Path], output: Path) -> None:
    """`python code/predict.py SOURCE -`, the images listed on standard input."""
    words = [sys.executable, str(SCRIPT), str(source), "-", "--output", str(output)]
    listed = "".join(f"{path}\n" for path in images)
    # As many threads as the models in this process have.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    quiet = subprocess.DEVNULL
    subprocess.run(words, input=listed, env=environment, text=True, check=True, stdout=quiet)
