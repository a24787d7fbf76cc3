"""Benchmarks of the formats: speed of writing and reading, memory, and whether everything agrees and is valid."""
