"""Shipping a model: other formats, how near they are to PyTorch, and how fast."""
