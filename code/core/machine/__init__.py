"""The machine: its devices, and the processes that train together."""
