"""Learn a backbone from strips that nobody labelled."""
