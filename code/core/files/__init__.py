"""Files: whole or not at all, read within bounds, locked, and in the formats that are shared."""
