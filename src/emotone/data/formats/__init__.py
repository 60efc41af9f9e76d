"""Notations that several corpora share: JSON streams, CSV rows, dialogues in tables, plain YAML."""
