"""CDISC SDTM: domains of the implementation guide, as Dataset-JSON and CSV."""
