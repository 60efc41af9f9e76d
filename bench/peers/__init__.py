"""Other libraries doing our work, each run by an interpreter of its own environment."""
