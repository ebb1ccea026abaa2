"""The strips that an experiment was trained and validated on, to quantise and to score with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.data.annotations import read_label_table
from core.data.images import read_image
from core.data.split_file import read_split
from core.errors import InputError
from core.experiments.predictions import read_predictions
from core.exporting.fidelity import Fidelity
from core.metrics.classification import classification_metrics
from core.predicting.predictor import Predict
from core.predicting.signature import DEFAULT_THRESHOLD
from core.predicting.stream import predict_images
from core.predicting.trained_model import TrainedModel

BATCH_SIZE = 16


class OwnStrips:
    """The strips that an experiment was trained and validated on."""

    def __init__(self, trained: TrainedModel, data_root: Path | None) -> None:
        """From `data_root`, by default from where the experiment read them.

        Raises:
            InputError: they are not there.
        """
        experiment = trained.experiment
        data = experiment.results["config"]["data"]
        root = data_root or Path(str(experiment.look_up("data", "root")))
        self.trained = trained
        try:
            table = read_label_table(
                root,
                experiment.class_names,
                tuple(data["image_size"]),
                on_bad_image=data.get("on_bad_image", "error"),
            )
            split = read_split(experiment.path / "split.csv", table)
        except InputError as error:
            raise InputError(
                "the strips that the experiment was trained and validated on are needed: "
                f"{error}; name their folder by --data-root"
            ) from None
        self.train = [table.image_paths[index] for index in split["train"]]
        self.paths = dict(zip(table.image_ids, table.image_paths, strict=True))

    def fidelity(self, ask: Predict, what: str) -> Fidelity:
        """Score `ask` on the validation part; `what` it is stands beside the progress.

        Raises:
            InputError: a strip that cannot be read.
        """
        trained = self.trained
        validation = read_predictions(trained.experiment, "validation")
        float32 = validation.probabilities
        if trained.scaling is not None:
            float32 = trained.scaling(float32)
        found = self._asked(ask, [self.paths[name] for name in validation.image_ids], what)
        names = trained.signature.class_names
        chosen = dict(zip(names, trained.signature.thresholds, strict=True))
        figures = [
            classification_metrics(validation.labels, probabilities, names, thresholds)
            for thresholds in (DEFAULT_THRESHOLD, chosen)
            for probabilities in (found, float32)
        ]
        return Fidelity(*(row["macro"]["f1"] for row in figures))

    def read(self, path: Path) -> np.ndarray:
        """A strip as models take it. Shape: uint8 (channels, height, width)."""
        pixels = self._pixels(path)
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(planes)

    def _pixels(self, path: Path) -> np.ndarray:
        signature = self.trained.signature
        return read_image(path, signature.image_size, signature.channels)

    def _asked(self, ask: Predict, paths: Sequence[Path], what: str) -> np.ndarray:
        rows = predict_images(ask, map(str, paths), self._pixels, BATCH_SIZE)
        answers = []
        for row in tqdm(rows, total=len(paths), desc=what, unit="image", disable=None):
            if row.error:
                raise InputError(row.error)
            answers.append(row.probabilities)
        return np.stack(answers)
