"""FHIR R4 (4.0.1), as Bulk Data NDJSON and as transaction Bundles: one file per theme of resources."""
