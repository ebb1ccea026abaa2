"""Learning which defect classes an image shows."""
