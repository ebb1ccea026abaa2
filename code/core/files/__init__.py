"""Files: written whole, read within bounds, locked, and the formats that several rooms share."""
