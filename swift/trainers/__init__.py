"""Training: batches of a step, loss, loop hooks, checkpoints. Knows models only by their forward signature."""
