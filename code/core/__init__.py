"""The rooms of the project: registry, models, losses, augmentation, data, training."""
