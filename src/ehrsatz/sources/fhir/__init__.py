"""Reader of FHIR R4: NDJSON and Bundles of any maker, and all that the exporters of ehrsatz put there."""
