"""Whether simulated patients are like published ones, keep the rules, and are who was asked for."""
