"""JSON that can be read in one way only, names that stay in their folder, trees without links."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ehrsatz.capsule import strict


def test_render_and_parse_are_each_other_s_inverse() -> None:
    data = {"b": [1, None, "ü"], "a": {"x": 0.5}}
    raw = strict.render(data)
    assert strict.parse(raw, one_spelling=True) == data
    assert raw == b'{\n  "a": {\n    "x": 0.5\n  },\n  "b": [\n    1,\n    null,\n    "\xc3\xbc"\n  ]\n}\n'


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"[1]",
        b"1",
        b"",
        b"{",
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\uDC00": 1}',
    ],
)
def test_what_two_readers_could_take_for_two_things_is_refused(raw: bytes) -> None:
    with pytest.raises(strict.NotPlain):
        strict.parse(raw)


@pytest.mark.parametrize(
    "raw", [b'{"a": 1}', b'{"a":1}\n', b'{\n  "a": 1\n}', b'{\n  "a": 1.0e0\n}\n', b'{\n  "a": "\\ud83d\\ude00"\n}\n']
)
def test_another_spelling_is_refused_where_there_is_one(raw: bytes) -> None:
    assert strict.parse(raw)
    with pytest.raises(strict.NotPlain, match="spelling"):
        strict.parse(raw, one_spelling=True)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    (tmp_path / "link").symlink_to(tmp_path / "big")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert strict.read(tmp_path / "big", most=11) == b"x" * 11
    for name in ("big", "link", "pipe", "folder"):
        with pytest.raises(strict.NotPlain):
            strict.read(tmp_path / name, most=10)
    with pytest.raises(FileNotFoundError):
        strict.read(tmp_path / "absent")


@pytest.mark.parametrize("name", ["a", "data/a.csv", "büro größe.csv", "a-b_c.d/e", ".hidden", "東京.csv"])
def test_plain_names(name: str) -> None:
    assert strict.is_plain(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../a", "a/../b", "/a", "a/", "a//b", "./a", "a\\b", "C:a", "a\n", "a\0b", "a.", "a "),
        *("a\u2028b", "a*", "x" * 256, "/".join(["x" * 200] * 6), "\ud800", 3, None),
    ],
)
def test_names_that_lead_elsewhere(name: object) -> None:
    assert not strict.is_plain(name)


def test_names_that_some_file_systems_confuse() -> None:
    assert strict.collisions(["Data/a.csv", "data/a.csv", "b"]) == ["data/a.csv"]
    assert strict.collisions(["u\u0308.csv", "\u00fc.csv"]) == ["\u00fc.csv"]
    assert strict.collisions(["a", "b", "a/b"]) == []


def test_a_walk_follows_no_link_and_names_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "inner" / "a").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "way").symlink_to("/etc")
    assert [name for name, _ in strict.walk(tmp_path)] == ["empty", "real/inner/a", "way"]


def test_shown_escapes_what_would_move_a_cursor() -> None:
    assert strict.shown("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert len(strict.shown("x" * 1000)) < 250
    assert json.dumps(strict.shown("\udcff")) == '"\\\\udcff"'
