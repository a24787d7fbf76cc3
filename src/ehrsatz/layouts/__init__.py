"""Where a format keeps the tables and columns of the clinical schema, as data: its exporter and its reader share it."""
