"""What people read of scores and verdicts: the page, its charts, summaries for pipelines."""
