"""Generators: learn a joint distribution, draw new subjects from it."""
