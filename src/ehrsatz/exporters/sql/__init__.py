"""The clinical tables as SQL: scripts with CSV files, and database files of SQLite and DuckDB."""
