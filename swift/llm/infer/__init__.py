"""Engines, and the two ways to talk to one: an interactive chat and a batch over rows.

Light on purpose: the engine that needs torch is imported from its own module.
"""
