"""From a command line to checked values, and from a mistake to one line."""
