"""Expert review: a blinded sheet of records for people who know patients, and what their answers say."""
