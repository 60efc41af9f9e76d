"""Weights and their cards; no code. `emotone` finds this package by name."""

__version__ = "0.1.0"
