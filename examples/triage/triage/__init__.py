"""Who should be called first."""
