"""From a finished experiment to its use: predicting, explaining, exporting."""
