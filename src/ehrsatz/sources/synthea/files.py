"""The CSV files of a Synthea run: found by name, read as text with names in capitals, cells taken by kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from ehrsatz.errors import SourceError

ENDINGS = (".csv", ".csv.gz")
NEEDED: dict[str, tuple[str, ...]] = {  # file -> columns without which it is none of Synthea's
    "patients": ("ID", "BIRTHDATE", "GENDER"),
    "encounters": ("ID", "START", "PATIENT"),
    "conditions": ("START", "PATIENT", "CODE"),
    "observations": ("DATE", "PATIENT", "CODE", "VALUE"),
    "medications": ("START", "PATIENT", "CODE"),
    "procedures": ("PATIENT", "CODE"),
    "immunizations": ("DATE", "PATIENT", "CODE"),
    "allergies": ("START", "PATIENT", "CODE"),
    "devices": ("START", "PATIENT", "CODE"),
    "careplans": ("ID", "START", "PATIENT", "CODE"),
    "claims": ("ID", "PATIENTID"),
    "claims_transactions": ("ID", "CLAIMID", "PATIENTID", "TYPE"),
    "payers": ("ID", "NAME"),
    "payer_transitions": ("PATIENT", "PAYER"),
    "organizations": ("ID", "NAME"),
    "providers": ("ID", "ORGANIZATION", "NAME"),
    "imaging_studies": ("ID", "DATE", "PATIENT"),
    "supplies": ("DATE", "PATIENT", "CODE"),
}


def found_in(folder: Path) -> dict[str, Path]:
    """Return name of a file without ending, in lower case -> its path."""
    out: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        for ending in ENDINGS:
            if path.name.lower().endswith(ending) and path.is_file():
                out.setdefault(path.name.lower().removesuffix(ending), path)
    return out


class Sheet:
    """One of the files: cells by column, absent columns as null, and which columns were used."""

    def __init__(self, name: str, frame: pl.DataFrame, left: Counter[str]) -> None:
        self.name = name
        self.frame = frame
        self.left = left
        self.used: set[str] = set()

    @classmethod
    def read(cls, name: str, path: Path | None, left: Counter[str]) -> Sheet:
        """Read a file; an absent one is empty.

        Raises
        ------
        SourceError
            When it is damaged, or lacks columns that every version of Synthea writes.
        """
        if path is None:
            return cls(name, pl.DataFrame(schema=dict.fromkeys(NEEDED[name], pl.String)), left)
        try:
            frame = pl.read_csv(path, infer_schema=False)
        except (pl.exceptions.PolarsError, OSError):
            raise SourceError(
                f"Expected to read '{path.name}' as CSV.", "It is damaged or cut off.", "Make or copy it again."
            ) from None
        frame = frame.rename({column: column.strip().upper() for column in frame.columns})
        lacking = [column for column in NEEDED[name] if column not in frame.columns]
        if lacking:
            raise SourceError(
                f"Expected the columns {', '.join(NEEDED[name])} in '{path.name}'.",
                f"Not there: {', '.join(lacking)}.",
                "Check that the file is of Synthea's CSV exporter.",
            )
        return cls(name, frame.with_columns(pl.when(pl.all() != "").then(pl.all()).name.keep()), left)

    def of(self, patients: pl.Series | None) -> Sheet:
        """Keep the rows of some patients; all where None."""
        names = ("ID",) if self.name == "patients" else ("PATIENT", "PATIENTID")
        column = next((one for one in names if one in self.frame.columns), None)
        if patients is not None and column is not None and self.name not in ("organizations", "providers", "payers"):
            self.frame = self.frame.filter(pl.col(column).is_in(patients.implode()))
        return self

    def text(self, *names: str) -> pl.Expr:
        """The first of some columns that the file has; null where it has none."""
        held = next((name for name in names if name in self.frame.columns), None)
        if held is None:
            return pl.lit(None, pl.String)
        self.used.add(held)
        return pl.col(held)

    def number(self, *names: str) -> pl.Expr:
        """A column as a number; text that is none is null and counted."""
        cell = self.text(*names)
        value = cell.cast(pl.Float64, strict=False)
        wrong = int(self.frame.select((cell.is_not_null() & value.is_null()).sum()).item())
        self.left[f"{self.name}.{names[0]}: no numbers"] += wrong
        return value

    def time(self, *names: str) -> pl.Expr:
        """A column as a time: with a clock or as a day alone, with or without the letter Z."""
        cell = self.text(*names)
        bare = cell.str.replace(r"(Z|[+-]\d{2}:?\d{2})$", "").str.replace(" ", "T", literal=True)
        value = pl.coalesce(
            bare.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False),
            bare.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
            pl.when(bare.str.contains(r"^\d{4}$"))
            .then(pl.concat_str(bare, pl.lit("-01-01")))
            .str.to_date("%Y-%m-%d", strict=False)
            .cast(pl.Datetime("us")),
        )
        wrong = int(self.frame.select((cell.is_not_null() & value.is_null()).sum()).item())
        self.left[f"{self.name}.{names[0]}: no times"] += wrong
        return value

    def skip(self, *names: str) -> None:
        """Note columns that say what other columns say as well."""
        self.used.update(names)

    def rows(self, **cells: pl.Expr) -> pl.DataFrame:
        """Return the rows of a clinical table, and count the columns that nothing used."""
        out = self.frame.select(**cells)
        for column in self.frame.columns:
            if column not in self.used and column[0] != "(":
                self.left[f"{self.name}.{column}"] += self.frame[column].len() - self.frame[column].null_count()
        return out

    def numbered(self, letter: str, *, by: str = "PATIENT") -> pl.Expr:
        """Return keys for rows that have none: patient, letter, running number of the patient's rows."""
        number = pl.int_range(1, pl.len() + 1).over(by).cast(pl.String)
        return pl.concat_str(pl.col(by), pl.lit(f"-{letter}"), number)
