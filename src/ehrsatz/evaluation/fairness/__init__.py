"""Does the copy treat subgroups alike: representation, fidelity, models trained on it."""
