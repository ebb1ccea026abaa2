"""The folder of an experiment on the disk: writing, reading, one schema for both."""
