"""Augmentation of training images; each transform can be switched on and off."""
