"""What every page and API of emotone refuses before it reads, and how it listens.

Needs the extra `serve`.
"""
