"""What a run costs, measured, and what the way over real data would cost, assumed in the open."""
