"""Reader of the CSV files that Synthea writes."""
