"""Optimizers that are tuning methods: usable in any training loop, they know parameters and gradients only."""
