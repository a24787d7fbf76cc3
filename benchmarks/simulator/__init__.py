"""Benchmarks of the simulator: how fast, how large, how steady, and how near to what is published."""
