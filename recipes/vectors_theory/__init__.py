"""What the emotion-vector paper says of its vectors in theory, measured on the default model."""
