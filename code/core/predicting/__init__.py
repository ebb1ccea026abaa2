"""Predicting with a trained model: from images to rows of probabilities and decisions."""
