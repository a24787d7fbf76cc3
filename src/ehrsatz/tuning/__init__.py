"""Search for a generator's settings: fidelity, utility and privacy on rows that the search never learned from."""
