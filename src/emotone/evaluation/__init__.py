"""Replies for whole files; the hinge between answering and scoring is `replies.jsonl`."""
