"""Generators of synthetic tables, ours and other projects, on the same data and the same scores."""
