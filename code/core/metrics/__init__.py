"""Figures, resampling, intervals, thresholds and calibration; without torch."""
