"""Exporting a trained model: other formats, how close they are to PyTorch, and how fast."""
