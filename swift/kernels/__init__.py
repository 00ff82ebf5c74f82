"""Operators of the training hot path, each beside the plain computation that it must equal."""
