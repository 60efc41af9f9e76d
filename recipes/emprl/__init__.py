"""How EmpRL is scored: its replies, its curves, and what games its reward."""
