"""The vectors for SmolLM2-135M-Instruct: how they were made, calibrated and measured."""
