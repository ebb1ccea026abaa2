"""Trainings started, stopped and resumed from the pages, one after another on each device."""
