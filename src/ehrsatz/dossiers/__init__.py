"""Papers for those who must answer for a release, drawn from what its run measured and from nothing else."""
