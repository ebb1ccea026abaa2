"""Training and what it reports: finished objects in, an experiment folder with figures out."""
