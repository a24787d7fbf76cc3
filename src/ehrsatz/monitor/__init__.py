"""Releases over time: what moved between them, and which should be withdrawn or made again."""
