"""What experiments wrote to disk, read back: compared, ranked, reported."""
