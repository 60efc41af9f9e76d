"""Parts of the recurrent systems: encoders, attention, memories, losses and the search."""
