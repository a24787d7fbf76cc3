"""Every byte of a signed and approved release: changed, gone, added, swapped, linked, or named to lead elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from capsule.people import DAY, House, edit, release, tree
from ehrsatz.capsule import approval, manifest, signature
from ehrsatz.capsule.sign import approve, sign
from ehrsatz.capsule.verify import examine, mark, verify
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError
from ehrsatz.seeds import stream


@pytest.fixture(scope="module")
def original(tidy: Dataset, people: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that is signed and approved."""
    folder = release(tidy, Path(tmp_path_factory.mktemp("original")) / "release", rule=people.rule())
    sign(folder, people.anna)
    for one in (people.anna, people.bo):
        approve(folder, one, day=DAY)
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(original, tmp_path / "release"))


def check(folder: Path, people: House) -> list[str]:
    return verify(folder, keys=[people.anna.public], at=DAY, require_approval=True)


def test_the_original_is_sound(original: Path, people: House) -> None:
    assert check(original, people) == []
    assert len(tree(original)) == 16


def test_one_flipped_bit_anywhere(copy: Path, people: House) -> None:
    rng = stream(21, "flip")
    for name, data in tree(copy).items():
        places = {0, len(data) // 2, len(data) - 1, *rng.integers(0, len(data), 5).tolist()}
        for place in sorted(places):
            changed = bytearray(data)
            changed[place] ^= 1 << int(rng.integers(0, 8))
            (copy / name).write_bytes(bytes(changed))
            assert any(problem.startswith(f"{name}: ") for problem in check(copy, people)), (name, place)
        (copy / name).write_bytes(data)
    assert check(copy, people) == []


def test_every_bit_of_the_signed_statements(original: Path, people: House) -> None:
    digest = manifest.file_hash(original / "manifest.json")
    rule = approval.Rule.of({"approval": people.rule()})
    checks: dict[str, Callable[[bytes], list[str]]] = {
        "signature.json": lambda raw: signature.check(raw, digest, pinned=[people.anna.public], at=DAY)[1],
        "approvals/bo.json": lambda raw: approval.check("bo", raw, digest, verdict="pass", rule=rule, at=DAY)[1],
    }
    for name, check_one in checks.items():
        data = (original / name).read_bytes()
        assert check_one(data) == []
        for place in range(8 * len(data)):
            changed = bytearray(data)
            changed[place // 8] ^= 1 << place % 8
            assert check_one(bytes(changed)), (name, place)


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "longer", "a folder", "a link", "a pipe"])
def test_every_file_in_turn(how: str, copy: Path, people: House, tmp_path: Path) -> None:
    for name, data in tree(copy).items():
        path = copy / name
        path.unlink()
        if how == "empty":
            path.write_bytes(b"")
        elif how == "cut":
            path.write_bytes(data[:-1])
        elif how == "longer":
            path.write_bytes(data + b"\n")
        elif how == "a folder":
            path.mkdir()
        elif how == "a link":
            (tmp_path / "same").write_bytes(data)
            path.symlink_to(tmp_path / "same")
        elif how == "a pipe":
            os.mkfifo(path)
        found = check(copy, people)
        assert found, (name, how)
        assert any(name in one for one in found) or name.startswith("approvals/"), (name, how, found)
        path.rmdir() if how == "a folder" else path.unlink(missing_ok=True)
        path.write_bytes(data)
    assert check(copy, people) == []


@pytest.mark.parametrize("name", ["a.txt", ".hidden", "data/b.csv", "approvals/a.txt", "approvals/b/c.json", "x/y/z"])
def test_added_files(name: str, copy: Path, people: House) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("x")
    assert check(copy, people) == [f"{name}: added since the release was written", *check_approval(copy, people)]


def check_approval(copy: Path, people: House) -> list[str]:
    state = examine(copy, keys=[people.anna.public]).approval
    assert state is not None and not state.approved
    return [f"not approved as asked for: {state.told}"]


def test_added_folders_links_and_left_overs(copy: Path, people: House) -> None:
    (copy / "empty").mkdir()
    (copy / "way").symlink_to("/etc")
    (copy / "approvals" / "bo.json.bak").write_text("x")
    (copy / ".signature.json.part").write_text("x")
    (copy / "approvals" / ".carl.json.part").write_text("x")
    assert verify(copy) == [
        ".signature.json.part: left by an interrupted write; remove it",
        "approvals/.carl.json.part: left by an interrupted write; remove it",
        "approvals/bo.json.bak: added since the release was written",
        "empty: added since the release was written",
        "way: is a link, no file",
    ]


def test_an_empty_folder_of_approvals_is_no_change(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    (folder / "approvals").mkdir()
    assert verify(folder) == []
    (folder / "approvals").rmdir()
    (folder / "approvals").write_text("x")
    assert verify(folder) == ["approvals: added since the release was written"]


def test_a_folder_that_is_a_link(copy: Path, people: House, tmp_path: Path) -> None:
    (copy / "data").rename(tmp_path / "data")
    (copy / "data").symlink_to(tmp_path / "data")
    found = check(copy, people)
    assert "data: is a link, no file" in found
    assert "data/patients.csv: absent" in found
    (copy / "approvals").rename(tmp_path / "approvals")
    (copy / "approvals").symlink_to(tmp_path / "approvals")
    assert "approvals: is a link, no file" in check(copy, people)


def test_two_files_swapped(copy: Path, people: House) -> None:
    names = sorted(tree(copy))
    for one, other in pairwise(names):
        a, b = (copy / one).read_bytes(), (copy / other).read_bytes()
        (copy / one).write_bytes(b)
        (copy / other).write_bytes(a)
        assert check(copy, people), (one, other)
        (copy / one).write_bytes(a)
        (copy / other).write_bytes(b)


def test_a_name_that_differs_in_case_alone(copy: Path, people: House) -> None:
    (copy / "Readme.txt").write_text("x")
    assert "some file systems take it for another file" in " ".join(check(copy, people))


def test_names_that_would_move_a_cursor_or_are_no_text(copy: Path) -> None:
    (copy / "a\x1b[2J\nb").write_text("x")
    Path(os.fsdecode(os.fsencode(str(copy)) + b"/\xff\xfe")).write_text("x")
    told = "\n".join(verify(copy))
    assert "\x1b" not in told and "a\\x1b[2J\\nb" in told
    told.encode()


# ---------------------------------------------------------------------- manifests that lie
TRICKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "up": lambda told: told["files"].update({"../outside.txt": "0" * 64}),
    "absolute": lambda told: told["files"].update({"/etc/passwd": "0" * 64}),
    "backslash": lambda told: told["files"].update({"..\\outside.txt": "0" * 64}),
    "drive": lambda told: told["files"].update({"C:outside": "0" * 64}),
    "dot": lambda told: told["files"].update({"./README.txt": told["files"].pop("README.txt")}),
    "no hash": lambda told: told["files"].update({"README.txt": "x"}),
    "hash in capitals": lambda told: told["files"].update({"README.txt": told["files"]["README.txt"].upper()}),
    "hash of another kind": lambda told: told["files"].update({"README.txt": {"sha256": "0" * 64}}),
    "signature in it": lambda told: told["files"].update({"signature.json": "0" * 64}),
    "approval in it": lambda told: told["files"].update({"approvals/bo.json": "0" * 64}),
    "itself in it": lambda told: told["files"].update({"manifest.json": "0" * 64}),
    "size": lambda told: told["sizes"].update({"README.txt": 1}),
    "real": lambda told: told.update(synthetic=False),
    "content": lambda told: told["content"]["patients"].update(sha256="0" * 64),
    "content of another kind": lambda told: told["content"].update(patients=3),
    "no content": lambda told: told.update(content=3),
    "schema": lambda told: told.update(schema_fingerprint="0" * 64),
    "no data": lambda told: told.update(data_included=False),
    "policy": lambda told: told.update(policy_fingerprint="0" * 64),
    "decision": lambda told: told.update(decision="hold"),
    "no decision": lambda told: told.update(decision="maybe"),
    "no files": lambda told: told.update(files=[]),
    "no format": lambda told: told.update(format=None),
    "newer": lambda told: told.update(format=99),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_manifests_that_lie_and_hash_themselves_anew(trick: str, tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release")
    (tmp_path / "outside.txt").write_text("secret")

    def change(told: dict[str, Any]) -> None:
        TRICKS[trick](told)
        told["sha256"] = manifest.own_hash(told)

    edit(folder / "manifest.json", change)
    found = verify(folder)
    assert found
    assert "secret" not in " ".join(found)


def test_a_table_that_is_none(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("parquet",))
    path = folder / "data" / "patients.parquet"

    def refresh(told: dict[str, Any]) -> None:
        told["files"]["data/patients.parquet"] = manifest.file_hash(path)
        told["sizes"]["data/patients.parquet"] = path.stat().st_size
        told["sha256"] = manifest.own_hash(told)

    for make in (
        lambda: path.write_bytes(b"nonsense"),
        lambda: pl.DataFrame({"a": [1]}).write_parquet(path),
        lambda: pl.DataFrame({name: ["x"] for name in tidy.table.columns}).write_parquet(path),
    ):
        make()
        edit(folder / "manifest.json", refresh)
        assert len(verify(folder)) == 1


STRANGE = (None, True, 3, -1, 10**30, 0.5, 1e400, "", "x", "\x1b[2J", [], ["x"], [[]], {}, {"x": {}})


def places(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in JSON data, the outermost first; of long lists and tables the first two entries."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [way] if way else []
    for key, value in list(inner)[: 40 if len(way) < 2 else 2]:
        found += places(value, (*way, key))
    return found


@pytest.mark.parametrize("name", ["manifest.json", "verdict.json", "signature.json", "approvals/bo.json"])
def test_strange_values_anywhere_are_an_answer_and_no_crash(name: str, copy: Path, people: House) -> None:
    whole = json.loads((copy / name).read_text())
    rng = stream(3, "strange", name)
    for way in places(whole):
        changed = json.loads(json.dumps(whole))
        part = changed
        for key in way[:-1]:
            part = part[key]
        part[way[-1]] = STRANGE[int(rng.integers(0, len(STRANGE)))]
        if json.dumps(changed) == json.dumps(whole) or way == ("sha256",):  # the hash is made anew below
            continue
        (copy / name).write_text(json.dumps(changed), encoding="utf-8")
        told = json.loads((copy / "manifest.json").read_text())
        if name == "verdict.json":  # a forger's manifest fits
            told["files"][name] = manifest.file_hash(copy / name)
            told["sizes"][name] = (copy / name).stat().st_size
            if isinstance(changed.get("policy"), dict):
                told["policy_fingerprint"] = manifest.fingerprint(changed["policy"])
        if name in {"manifest.json", "verdict.json"}:
            with contextlib.suppress(ValueError):
                told["sha256"] = manifest.own_hash(told)
                (copy / "manifest.json").write_bytes(manifest.render(told))
        found = examine(copy, keys=[people.anna.public], at=DAY, require_approval=True)
        assert found.problems, way
        assert "\x1b" not in json.dumps(found.to_dict(), ensure_ascii=False)


def test_a_schema_that_unfolds_to_much_is_refused(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    lines = ["  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    (folder / "schema.yaml").write_text("name: x\ntables:\n" + "\n".join(lines) + "\n")

    def refresh(told: dict[str, Any]) -> None:
        told["files"]["schema.yaml"] = manifest.file_hash(folder / "schema.yaml")
        told["sizes"]["schema.yaml"] = (folder / "schema.yaml").stat().st_size
        told["sha256"] = manifest.own_hash(told)

    edit(folder / "manifest.json", refresh)
    assert verify(folder) == ["schema.yaml: cannot be read as a schema"]


def test_many_added_files_are_counted(tidy: Dataset, tmp_path: Path) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    for number in range(1200):
        (folder / f"f{number:04d}").touch()
    found = verify(folder)
    assert len(found) == 1001 and found[-1] == "and 200 more files"


# ---------------------------------------------------------------------- one file alone
def test_a_parquet_file_says_that_it_is_synthetic(original: Path, tmp_path: Path) -> None:
    assert "Marked as synthetic by ehrsatz" in mark(original / "data" / "patients.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(CapsuleError, match="no mark"):
        mark(tmp_path / "other.parquet")
    for name in ("data/patients.csv", "README.txt"):
        with pytest.raises(CapsuleError, match="cannot be read"):
            mark(original / name)


def test_real_rows_are_not_marked(tidy: Dataset, tmp_path: Path) -> None:
    from ehrsatz.exporters.parquet import ParquetExporter, mark_of

    (path,) = ParquetExporter().write(tidy, tmp_path, allow_real=True)
    assert mark_of(path) is None
