"""X12 5010: claims as 837P and remittances as 835, made of text that is joined column by column."""
