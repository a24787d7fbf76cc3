"""Readers of MEDS: what ehrsatz wrote comes back whole, other makers' events by the conventions of their codes."""
