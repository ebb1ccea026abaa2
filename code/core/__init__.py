"""The rooms of the project: models, losses, augmentation, data, training, inference, analysis."""
