"""`ehrsatz doctor`: what is installed, what an extra would add, how to get it."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from ehrsatz.cli.options import AsJson
from ehrsatz.cli.screen import show_json, show_table

_CORE = (
    "numpy",
    "scipy",
    "polars",
    "pyarrow",
    "scikit-learn",
    "pydantic",
    "typer",
    "rich",
    "PyYAML",
    "jinja2",
    "threadpoolctl",
)
_EXTRAS = {  # module -> (extra, what it adds)
    "sqlalchemy": ("sql", "read from databases by SQLAlchemy URL"),
    "duckdb": ("sql", "read DuckDB files"),
    "psycopg": ("sql", "read from PostgreSQL"),
}


def doctor(
    list_: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="ROOM", help="List the names of generators, metrics, rules, exporters or sources."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is installed, what an extra would add and how to get it.

    \b
    Examples:
      ehrsatz doctor
      ehrsatz doctor --list generators
      ehrsatz doctor --list rules
    """
    from ehrsatz import __version__, extras, registry
    from ehrsatz.errors import UnknownNameError, nearest

    if list_ is not None:
        if list_ not in registry.BUILT_IN:
            rooms = ", ".join(registry.BUILT_IN)
            raise UnknownNameError(
                f"Expected one of: {rooms}.",
                f"'{list_}' is none of them.{nearest(list_, registry.BUILT_IN)}",
                "Name one.",
            )
        names = list(registry.names(list_))
        if as_json:
            show_json(names)
        elif list_ == "rules":
            told = registry.RULES
            typer.echo("\n".join("\t".join((one, *_words(told.get(one, {})))) for one in names))
        else:
            typer.echo("\n".join(names))
        return
    rows = [("ehrsatz", __version__, ""), ("python", platform.python_version(), "")]
    rows += [
        (name, _version(name), "" if _version(name) else "pip install --force-reinstall ehrsatz") for name in _CORE
    ]
    for module, (extra, adds) in _EXTRAS.items():
        here = extras.is_available(module)
        rows.append(
            (module, _version(module) if here else "", "" if here else f"to {adds}: pip install 'ehrsatz[{extra}]'")
        )
    if as_json:
        show_json([{"name": name, "version": found or None, "advice": advice} for name, found, advice in rows])
    else:
        show_table(
            ("part", "version", "to get it"), [(name, found or "absent", advice) for name, found, advice in rows]
        )


def _words(rule: dict[str, str]) -> tuple[str, ...]:
    """Severity and title of a rule that ships; nothing of a plugin's, which would have to be imported."""
    return (rule["severity"], rule["title"]) if rule else ()


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
