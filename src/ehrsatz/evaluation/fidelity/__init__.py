"""Does the copy look like the real data: columns, pairs, whole rows, sequences."""
