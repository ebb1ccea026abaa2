"""Predicting with a trained model: images in, rows of probabilities and decisions out.

Nothing here imports torch, so that an exported model runs where torch is not installed.
"""
