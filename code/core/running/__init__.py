"""From a checked config to a finished experiment: train, resume, cross-validate, launch."""
