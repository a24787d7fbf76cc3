"""Kinds and roles guessed for the tabular sets, against a truth file made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ehrsatz.sources.csv import CsvSource

TRUTH = yaml.safe_load((Path(__file__).parent.parent / "truth" / "kinds.yaml").read_text(encoding="utf-8"))


def mistakes(file: str, data_dir: Path) -> Iterator[tuple[str, bool]]:
    """Yield every column with whether kind and role are among the right ones."""
    dataset = CsvSource().read(data_dir / file)
    table = dataset.schema.tables[0]
    assert set(table.names) == set(TRUTH[file])
    for name, right in TRUTH[file].items():
        kinds, roles = (part.split("|") for part in right.split())
        column = table[name]
        is_right = column.kind in kinds and column.role in roles
        yield f"{file}: {name} is {right}, guessed {column.kind} {column.role}", is_right


def test_at_least_95_percent_of_columns_are_right(data_dir: Path) -> None:
    answers = [answer for file in TRUTH for answer in mistakes(file, data_dir)]
    wrong = [text for text, is_right in answers if not is_right]
    assert len(answers) == 333
    assert len(wrong) <= 0.05 * len(answers), "\n".join(wrong)


@pytest.mark.parametrize("file", list(TRUTH))
def test_no_set_is_far_off(file: str, data_dir: Path) -> None:
    answers = list(mistakes(file, data_dir))
    wrong = [text for text, is_right in answers if not is_right]
    assert len(wrong) <= max(1, 0.1 * len(answers)), "\n".join(wrong)
