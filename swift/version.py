"""The version, told once; setup.py reads this file."""

__version__ = '5.0.0.dev0'
