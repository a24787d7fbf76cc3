"""Can one work with the copy: prediction, estimates, survival."""
