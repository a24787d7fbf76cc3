"""Withdrawn releases: a list that grows, in which no entry can be changed, moved or taken out unseen."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capsule.people import DAY, House, edit, release
from ehrsatz.capsule import withdrawal
from ehrsatz.capsule.sign import withdraw
from ehrsatz.capsule.verify import examine, verify
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError, OutputError


@pytest.fixture(scope="module")
def folders(tidy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four releases."""
    above = Path(tmp_path_factory.mktemp("releases"))
    return [release(tidy, above / str(i), value=0.1 + i / 100, formats=("csv",)) for i in range(4)]


@pytest.fixture
def listed(folders: list[Path], people: House, tmp_path: Path) -> Path:
    """A list on which the first three are, by anna, bo and anna."""
    path = tmp_path / "withdrawn.json"
    for folder, key in zip(folders, (people.anna, people.bo, people.anna)):
        withdraw(folder, key, reason="A source table was wrong.", path=path, day=DAY)
    return path


def test_withdrawn_is_said_and_the_rest_is_not(folders: list[Path], listed: Path, people: House) -> None:
    assert verify(folders[3], withdrawn=listed) == []
    found = examine(folders[1], withdrawn=listed)
    assert found.withdrawn and found.advice == "Do not use it any more."
    assert found.problems == (
        "withdrawn.json: withdrawn on 2025-06-01 by bo (privacy officer), signed with the key "
        f"{people.bo.public.fingerprint}, none of yours: A source table was wrong.",
    )
    assert "a key of yours" in examine(folders[0], withdrawn=listed, keys=[people.anna.public]).problems[-1]
    assert verify(folders[1]) == [], "without the list nobody can know"


def test_the_chain_and_its_head(folders: list[Path], listed: Path, people: House) -> None:
    entries, head, wrong = withdrawal.read(listed)
    assert (len(entries), wrong) == (3, [])
    told = json.loads(listed.read_text())["entries"]
    assert told[0]["previous"] == withdrawal.START
    assert [one["previous"] for one in told[1:]] == [withdrawal.head_of(one) for one in told[:-1]]
    assert withdraw(folders[3], people.anna, reason="Old.", path=listed, day=DAY)[1] == 4
    assert withdrawal.read(listed)[1] != head
    with pytest.raises(CapsuleError, match="cannot be added to") as caught:
        withdraw(folders[3], people.anna, reason="Again.", path=listed, day=DAY)
    assert caught.value.problems == ("names this release already",)


def entries(told: dict[str, Any]) -> list[dict[str, Any]]:
    return told["entries"]


CHANGES = {
    "first gone": lambda told: entries(told).pop(0),
    "middle gone": lambda told: entries(told).pop(1),
    "swapped": lambda told: entries(told).reverse(),
    "doubled": lambda told: entries(told).append(entries(told)[-1]),
    "reason": lambda told: entries(told)[1].update(reason="Nothing."),
    "hash": lambda told: entries(told)[1].update(manifest_sha256="0" * 64),
    "date": lambda told: entries(told)[1].update(date="2024-01-01"),
    "signer": lambda told: entries(told)[1].update(key=entries(told)[0]["key"]),
    "number": lambda told: entries(told)[1].update(number=3),
    "previous": lambda told: entries(told)[1].update(previous=withdrawal.START),
    "signature": lambda told: entries(told)[1].update(signature=entries(told)[0]["signature"]),
    "more": lambda told: entries(told)[1].update(more=1),
    "less": lambda told: entries(told)[1].pop("reason"),
    "no entry": lambda told: entries(told).insert(1, 3),
    "kind": lambda told: told.update(kind="ehrsatz public key"),
    "more at the top": lambda told: told.update(more=1),
    "no list": lambda told: told.update(entries={}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_that_was_changed(change: str, folders: list[Path], listed: Path, people: House) -> None:
    edit(listed, CHANGES[change])
    found = verify(folders[3], withdrawn=listed)
    assert len(found) == 1 and found[0].startswith("withdrawn.json: ")
    with pytest.raises(CapsuleError):
        withdraw(folders[3], people.anna, reason="x", path=listed, day=DAY)


def test_every_bit_of_a_list(folders: list[Path], listed: Path) -> None:
    data = listed.read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        listed.write_bytes(bytes(changed))
        assert verify(folders[3], withdrawn=listed), place


def test_a_list_that_is_absent_or_none(folders: list[Path], tmp_path: Path, people: House) -> None:
    found = verify(folders[0], withdrawn=tmp_path / "no.json")
    assert found == ["no.json: absent, so nobody can say what was withdrawn"]
    (tmp_path / "no.json").write_text("x")
    assert verify(folders[0], withdrawn=tmp_path / "no.json") == ["no.json: cannot be read as JSON"]
    with pytest.raises(CapsuleError):
        withdraw(folders[0], people.anna, reason="x", path=tmp_path / "no.json", day=DAY)
    (tmp_path / "there.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(OutputError, match="link"):
        withdraw(folders[0], people.anna, reason="x", path=tmp_path / "there.json", day=DAY)


def test_what_cannot_be_withdrawn(folders: list[Path], people: House, tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    with pytest.raises(CapsuleError, match="reason"):
        withdraw(folders[0], people.anna, reason=" ", path=path, day=DAY)
    with pytest.raises(CapsuleError, match="at most"):
        withdraw(folders[0], people.anna, reason="x" * 2001, path=path, day=DAY)
    with pytest.raises(CapsuleError, match="last day"):
        withdraw(folders[0], people.bo, reason="x", path=path, day=date(2026, 1, 1))
    with pytest.raises(CapsuleError, match="manifest"):
        withdraw(tmp_path, people.anna, reason="x", path=path, day=DAY)
    assert not path.exists()


def test_a_damaged_release_can_be_withdrawn(tidy: Dataset, people: House, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    (folder / "data" / "patients.csv").write_text("leaked")
    withdraw(folder, people.anna, reason="Damaged.", path=tmp_path / "w.json", day=DAY)
    assert any("withdrawn on" in one for one in verify(folder, withdrawn=tmp_path / "w.json"))
