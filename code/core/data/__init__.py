"""Data sets of strips: reading, checking, splitting and batching them."""
