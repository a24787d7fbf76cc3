"""Fidelity, utility, privacy and fairness of synthetic data, against real data that the generator never saw."""
