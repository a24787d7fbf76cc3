"""Which of the registered generators can do what, for refusals that name those that can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ehrsatz import registry

if TYPE_CHECKING:
    from ehrsatz.generators.base import Generator


def siblings() -> list[tuple[str, type[Generator]]]:
    """Return every registered generator by name."""
    return [(name, registry.find("generators", name)) for name in registry.names("generators")]


def able_to_condition(kind: str | None = None) -> list[str]:
    """Return the names of generators that honour conditions on columns of this kind, or at all."""
    return [name for name, made in siblings() if made.conditions and (kind is None or kind in made.conditions_on)]


def able_to_shrink() -> list[str]:
    """Return the names of generators whose saved models can be made smaller."""
    return [name for name, made in siblings() if hasattr(made, "shrink")]
