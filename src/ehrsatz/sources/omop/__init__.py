"""OMOP CDM databases and folders of CSV files read into the clinical schema, with their vocabulary or without."""
