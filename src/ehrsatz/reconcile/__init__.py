"""One cohort in several formats: read each back and prove, fact by fact, that they say the same."""
