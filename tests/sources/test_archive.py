"""Archives: unpacked and removed; what leads out, links, lies about its size or is a bomb is refused, fast."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from ehrsatz.errors import SourceError
from ehrsatz.sources.archive import LEAST, is_archive, opened

HELD = {"export/Patient.ndjson": b'{"resourceType":"Patient"}\n', "export/deep/b.txt": b"b"}


def zipped(path: Path, held: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, held: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "A.TGZ"])
def test_files_come_out_and_are_gone_afterwards(name: str, tmp_path: Path) -> None:
    path = (zipped if name.endswith("zip") else tarred)(tmp_path / name, HELD)
    assert is_archive(path)
    with opened(path) as folder:
        assert folder.name == "export"  # the one folder that the archive holds
        assert {f"export/{one.relative_to(folder).as_posix()}": one.read_bytes() for one in folder.rglob("*.*")} == HELD
    assert not folder.exists()


def test_other_paths_are_given_as_they_are(tmp_path: Path) -> None:
    packed = tmp_path / "Patient.ndjson.gz"
    packed.write_bytes(gzip.compress(b"{}"))
    for path in (tmp_path, packed):
        with opened(path) as given:
            assert given == path
        assert path.exists()


def test_the_folder_goes_also_when_reading_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(zipped(tmp_path / "a.zip", HELD), folder=tmp_path):
        raise ZeroDivisionError
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:\\out.txt", "..\\out.txt"])
@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_names_that_lead_out_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    path = (zipped if kind == "a.zip" else tarred)(tmp_path / kind, {"fine.txt": b"1", name: b"x"})
    with pytest.raises(SourceError, match="lead out of its folder"), opened(path, folder=tmp_path):
        pass
    assert [one.name for one in tmp_path.rglob("*")] == [kind]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(SourceError, match="links or devices"), opened(tarred(tmp_path / "a.tar", HELD, info)):
        pass


def test_links_of_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="links or devices"), opened(tmp_path / "a.zip"):
        pass


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_a_name_that_stands_twice_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", "1")
            archive.writestr("a", "2")
    else:
        tarred(path, {"a": b"1", "./a": b"2"})
    with pytest.raises(SourceError, match="stand twice"), opened(path):
        pass


# ---------------------------------------------------------------------- bombs
def overlapping(path: Path, copies: int, size: int) -> Path:
    """A zip whose directory names the same packed megabytes many times: a few kilobytes that declare terabytes."""
    once = path.with_name("once.zip")
    with zipfile.ZipFile(once, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", bytes(size))
    raw = once.read_bytes()
    once.unlink()
    begin = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entry = bytearray(raw[begin:end])
    entries = []
    for number in range(copies):
        name = f"{number:08d}".encode()
        one = entry[:46] + name
        one[28:30] = struct.pack("<H", len(name))
        entries.append(bytes(one))
    directory = b"".join(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(directory), begin, 0)
    path.write_bytes(raw[:begin] + directory + tail)
    return path


def test_a_bomb_that_declares_terabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = overlapping(tmp_path / "bomb.zip", 60_000, 32 * 2**20)  # 1.9 TB in 3 MB
    assert path.stat().st_size < 5 * 2**20
    begun = time.perf_counter()
    with pytest.raises(SourceError, match="unpacks to more"), opened(path, folder=tmp_path):
        pass
    assert time.perf_counter() - begun < 5
    assert [one.name for one in tmp_path.iterdir()] == ["bomb.zip"]


def test_a_tar_that_declares_terabytes_is_refused_at_once(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge.ndjson")
    info.size = 2**42
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)))
    begun = time.perf_counter()
    with pytest.raises(SourceError, match="unpacks to more"), opened(tmp_path / "a.tar.gz"):
        pass
    assert time.perf_counter() - begun < 2


def test_a_zip_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lie.zip", {"a": bytes(3 * 2**20)})
    raw = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = raw.index(sign) + offset
        raw[place : place + 4] = struct.pack("<L", 10)
    path.write_bytes(bytes(raw))
    with pytest.raises(SourceError), opened(path, most_bytes=2**20, folder=tmp_path):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["lie.zip"]


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_the_limit_is_exact(kind: str, tmp_path: Path) -> None:
    path = (zipped if kind == "a.zip" else tarred)(tmp_path / kind, {"a": bytes(1000), "b": bytes(24)})
    with opened(path, most_bytes=1024) as folder:
        assert sum(one.stat().st_size for one in folder.iterdir()) == 1024
    with pytest.raises(SourceError, match="unpacks to more"), opened(path, most_bytes=1023):
        pass


def test_small_archives_may_unpack_to_what_such_data_do(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": bytes(40 * 2**20)})  # 1,000 times its size, and still little
    assert path.stat().st_size * 100 < 40 * 2**20 < LEAST
    with opened(path) as folder:
        assert (folder / "a").stat().st_size == 40 * 2**20


# ---------------------------------------------------------------------- damage
@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.tar"])
@pytest.mark.parametrize("how", ["cut", "other", "empty"])
def test_damaged_archives_are_refused(kind: str, how: str, tmp_path: Path) -> None:
    noise = bytes((7919 * i * i) % 251 for i in range(200_000))
    path = (zipped if kind == "a.zip" else tarred)(tmp_path / kind, {"a": noise, "b": noise})
    raw = path.read_bytes()
    path.write_bytes({"cut": raw[: len(raw) // 2], "other": b"no archive at all" * 100, "empty": b""}[how])
    with pytest.raises(SourceError, match="damaged or cut off"), opened(path, folder=tmp_path):
        pass
    assert [one.name for one in tmp_path.iterdir()] == [kind]


def test_a_password_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"1"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    raw[raw.index(b"PK\x03\x04") + 6] |= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(SourceError, match="password"), opened(path):
        pass
