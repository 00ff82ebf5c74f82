"""Base layer: standard library only. Nothing here knows about models, data or training."""
