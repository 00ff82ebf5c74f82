"""Writing models for others: merged checkpoints."""
