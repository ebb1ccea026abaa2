"""Training: one loop for every kind of learning, and the tasks it is given."""
