"""Procedural strips of rolled steel with labelled defects, in the layout of the real data set."""
