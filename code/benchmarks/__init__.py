"""Our way beside the plain one, which is written out here: time ratios, measured in turn."""
