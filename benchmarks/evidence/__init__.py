"""Benchmarks of the evidence: how fast, how right, how sharp the evaluation is."""
