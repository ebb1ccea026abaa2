"""A check of every image and every row of a data set, before training begins."""
