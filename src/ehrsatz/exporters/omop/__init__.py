"""OMOP CDM 5.4: the clinical tables as tables of the Common Data Model, as CSV files, DuckDB or SQLite.

A shard is written as Parquet parts whose ids begin at 1 and whose codes are numbers below zero; when all are there, the
codes become concepts, the ids go on from shard to shard, and the whole is written as one thing.
"""
