"""Which clinical format a path or an address holds, and where in a release the data lie."""

from __future__ import annotations

from pathlib import Path

from ehrsatz import registry
from ehrsatz.errors import SourceError, UnknownNameError, nearest
from ehrsatz.sources.clinical import ClinicalSource

DATA = "data"  # folder of a release that holds the rows


def clinical_names() -> tuple[str, ...]:
    """Return the registry names of the sources that read clinical formats."""
    return tuple(name for name in registry.names("sources") if _is_clinical(name))


def clinical_source(what: str | Path, name: str | None = None) -> ClinicalSource | None:
    """Return what reads this path or address into the clinical schema, or None where no clinical format fits.

    Parameters
    ----------
    what
        File, folder, or address of a database.
    name
        Of the format; found by names and first bytes where None.

    Raises
    ------
    UnknownNameError
        When no clinical format has that name.
    """
    names = clinical_names()
    if name is not None:
        if name not in names:
            raise UnknownNameError(
                f"Expected a clinical format: {', '.join(names)}.",
                f"'{name}' is none of them.{nearest(name, names)}",
                "Name one of these.",
            )
        return clinical_of(name)
    for one in names:
        if registry.find("sources", one).fits(what):
            return clinical_of(one)
    return None


def needed(what: str | Path, name: str | None = None, mapping: str | Path | None = None) -> ClinicalSource:
    """Return what reads this path or address, as `clinical_source`; with a mapping file, a reader of one's own tables.

    Raises
    ------
    SourceError
        When there is no such path, or no clinical format fits.
    """
    if "://" not in str(what) and not Path(what).exists():
        raise SourceError(f"Expected '{Path(what).name}' to exist.", "There is no such path.", "Check it.")
    if name == "layout" or (name is None and mapping is not None):
        made = registry.find("sources", "layout")(mapping)
        assert isinstance(made, ClinicalSource)
        return made
    found = clinical_source(what, name)
    if found is None:
        raise SourceError(
            f"Expected clinical records in one of these formats: {', '.join(clinical_names())}.",
            "What is there is of none of them.",
            "Name the format with --from-format, or say which column is which in a mapping file, with --mapping.",
        )
    return found


def inside(what: str | Path) -> Path:
    """Return the folder of a release that holds its rows; any other path as it is."""
    path = Path(what)
    return path / DATA if (path / "manifest.json").is_file() and (path / DATA).is_dir() else path


def _is_clinical(name: str) -> bool:
    found = registry.find("sources", name)
    return isinstance(found, type) and issubclass(found, ClinicalSource)


def clinical_of(name: str) -> ClinicalSource:
    """Return the reader of a clinical format, by its registry name."""
    made = registry.find("sources", name)()
    assert isinstance(made, ClinicalSource)
    return made
