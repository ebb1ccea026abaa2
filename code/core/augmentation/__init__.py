"""Toggleable augmentation of training images."""
