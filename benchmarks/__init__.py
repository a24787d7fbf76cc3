"""Benchmarks of ehrsatz. Run from the root of the repository."""
