"""An exported model as a predictor: ONNX Runtime and numpy, without torch."""

import os
from pathlib import Path

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
        self.signature = Signature.from_json(metadata[SIGNATURE_KEY], name)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width)."""
        (input_name,) = (entry.name for entry in self.session.get_inputs())
        return self.session.run(None, {input_name: images})[0].astype(np.float64)
