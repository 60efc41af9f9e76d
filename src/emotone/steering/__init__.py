"""Emotion vectors: record activations, extract directions, apply them, calibrate their dose."""
