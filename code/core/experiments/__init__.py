"""The folder of an experiment on disk: writing it and reading it, by one schema."""
