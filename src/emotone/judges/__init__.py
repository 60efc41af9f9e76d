"""Judges of emotion: what hears a text, never what writes one."""
