"""Edge-case patients: the few whose names, ages, times and values break software, on request, with their key."""

from ehrsatz.simulator.edges.cases import CASES, Case, chosen, key, size, told, without

__all__ = ["CASES", "Case", "chosen", "key", "size", "told", "without"]
