"""How the runs of a comparison are measured, and how their numbers become pages."""
