"""Directions beside one another: how they are found, and what each makes a model say."""
