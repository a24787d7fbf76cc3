"""Fidelity, utility and privacy of synthetic data, measured against real data that the generator never saw."""
