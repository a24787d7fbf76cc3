"""Codecs: a column's values <-> atoms, the small whole numbers that generators learn on."""
