"""An OpenAI-compatible server with `emotion` as a field, and a page to play with.

Needs the extra `serve`.
"""
