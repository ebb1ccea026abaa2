"""An exported model as a predictor: ONNX Runtime, numpy, and no torch."""

import os
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.predicting.signature import Signature

SIGNATURE_KEY = "signature"


class OnnxModel:
    """A model that code/export.py wrote, its calibration and thresholds inside."""

    def __init__(self, source: Path | bytes, name: str) -> None:
        """`source` is the file or what it holds; `name` is what messages call it.

        Raises:
            InputError: no ONNX model, or not one of this project.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As torch does; by itself, ONNX Runtime takes every core.
        options.intra_op_num_threads = _threads()
        options.log_severity_level = 4  # what fails is raised as well
        try:
            self.session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors have no base class but this
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
        self.signature = Signature.from_json(metadata[SIGNATURE_KEY], name)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width)."""
        (input_name,) = (entry.name for entry in self.session.get_inputs())
        return self.session.run(None, {input_name: images})[0].astype(np.float64)


def _threads() -> int:
    """What OMP_NUM_THREADS asks for, 0 (all cores) where it asks for nothing."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else 0
