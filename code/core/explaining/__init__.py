"""Explaining a trained model: heat maps of where it looks, and their scores on true masks."""

from core import imported_when_asked

__getattr__ = imported_when_asked(__name__, {"Overlays": "core.explaining.overlays"})

# Here, where no torch is imported, for `code/explain.py --help`.
METHOD_NAMES = ("grad_cam", "hires_cam", "cbam", "mask_head")
