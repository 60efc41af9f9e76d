"""How what ships was made: data, steps, seeds."""
