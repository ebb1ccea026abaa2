"""Decisions of reviewers about labels: stored, taken together, applied and exported."""
