"""Moods on engines of others: files that they load, and a proof that what they serve acts."""
