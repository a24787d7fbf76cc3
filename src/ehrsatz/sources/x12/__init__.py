"""X12 interchanges of any maker: claims (837) and remittances (835)."""
