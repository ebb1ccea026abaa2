"""Search: which settings of a training give the highest validation figure."""
