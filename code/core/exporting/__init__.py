"""Exporting a trained model: other formats, how close they are to PyTorch, and how fast."""

# Here, where no torch is imported, for `code/export.py --help`.
FORMAT_NAMES = ("onnx", "torchscript", "openvino", "int8")
