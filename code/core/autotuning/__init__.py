"""Autotuning: which way to compute is fastest here, found by trial and remembered."""
