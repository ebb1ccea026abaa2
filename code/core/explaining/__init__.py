"""Where a model looks: maps, pictures of them, and scores against the true masks."""
