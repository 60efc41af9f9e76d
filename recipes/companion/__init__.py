"""How the default model was taught to talk."""
