"""A user's own tables, both ways: a file of columns and small expressions, read, checked and applied."""
