"""Other evaluations of synthetic tables, each run in its own environment; nothing here is imported by ehrsatz."""
