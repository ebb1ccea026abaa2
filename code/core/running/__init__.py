"""From a checked config to a finished experiment: what trains, resumes and launches."""
