"""An exported model as a predictor: ONNX Runtime and numpy, without torch."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.predicting.signature import Signature

SIGNATURE_KEY = "signature"


class OnnxModel:
    """A model that code/export.py wrote, with its calibration and thresholds inside."""

    def __init__(self, source: Path | bytes, name: str) -> None:
        """`source` is the file or its content; messages call it `name`.

        Raises:
            InputError: not an ONNX model, or not one of this project.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As many threads as torch would use; by default, ONNX Runtime takes every core.
        asked = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(asked) if asked.isdigit() else 0
        options.log_severity_level = 4  # failures are raised as well
        try:
            self.session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors share no other base class
            reason = str(error).partition("\n")[0][:160]
            raise InputError(
                f"{name}: not a whole ONNX model ({reason}): export it again with code/export.py"
            ) from None
        metadata = self.session.get_modelmeta().custom_metadata_map
        if SIGNATURE_KEY not in metadata:
            raise InputError(
                f"{name}: an ONNX model without the signature of this project: expected one that "
                "code/export.py wrote"
            )
        self.name, self.signature = name, Signature.from_json(metadata[SIGNATURE_KEY], name)
        _check_interface(self.session, self.signature, name)
        self.input = self.session.get_inputs()[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width).

        Raises:
            InputError: the graph fails, or returns something else than probabilities.
        """
        try:
            (found,) = self.session.run(None, {self.input: images})
        except Exception as error:  # as above
            reason = str(error).partition("\n")[0][:160]
            raise InputError(f"{self.name}: fails on {len(images)} strips ({reason})") from None
        self.signature.check_probabilities(found, len(images), self.name)
        return found.astype(np.float64)


def _check_interface(session: Any, signature: Signature, name: str) -> None:
    """Raises InputError for a graph that takes or returns something else than its signature says.

    A dimension that has no number fits any.
    """
    expected = (
        ("input", "tensor(uint8)", [None, signature.channels, *signature.image_size]),
        ("output", "tensor(float)", [None, len(signature.class_names)]),
    )
    every = (session.get_inputs(), session.get_outputs())
    for (what, kind, shape), entries in zip(expected, every, strict=True):
        found = [(entry.type, list(entry.shape)) for entry in entries]
        if len(found) == 1 and found[0][0] == kind and len(found[0][1]) == len(shape):
            sides = zip(found[0][1][1:], shape[1:], strict=True)
            if all(not isinstance(side, int) or side == wanted for side, wanted in sides):
                continue
        raise InputError(
            f"{name}: its {what} is {str(found)[:160]}; expected one {kind} of (batch, "
            f"{', '.join(map(str, shape[1:]))}), as its signature says: export it again with "
            "code/export.py"
        )
