"""Explaining a trained model: heat maps of where it looks, and their scores on true masks."""
