"""Is the copy safe for the people in the data: copies, attacks, anonymity."""
