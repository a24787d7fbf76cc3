"""One file per kind of method. A file imports its package inside `start`, so that any environment can list it."""
