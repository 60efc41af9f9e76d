"""Reinforcement: policies that write replies, and two algorithms that raise a reward."""
