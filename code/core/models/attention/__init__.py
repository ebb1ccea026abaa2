"""Attention modules that a model puts after its stages."""
