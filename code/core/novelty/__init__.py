"""Novelty: whether a strip is like those that were learned from."""
