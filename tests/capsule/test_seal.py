"""Sealed releases: for their readers alone, and nothing in them reaches outside the folder they are opened into."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyrage
import pytest

from capsule.people import DAY, House, release, tree
from ehrsatz.capsule import seal
from ehrsatz.capsule.sign import approve, sign
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError, MissingExtraError, OutputError
from ehrsatz.seeds import stream


class Reader:
    """Someone with keys of age."""

    def __init__(self, folder: Path, name: str) -> None:
        identity = pyrage.x25519.Identity.generate()
        self.public = str(identity.to_public())
        self.path = folder / f"{name}.txt"
        self.path.write_text(f"# created: long ago\n# public key: {self.public}\n{identity}\n")
        self.identity = identity


@pytest.fixture(scope="module")
def original(tidy: Dataset, people: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = release(tidy, Path(tmp_path_factory.mktemp("sealed")) / "release", rule=people.rule())
    sign(folder, people.anna)
    approve(folder, people.bo, day=DAY)
    return folder


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path, "reader")


def test_each_reader_can_open_it_and_others_cannot(original: Path, tmp_path: Path) -> None:
    one, two, three = (Reader(tmp_path, name) for name in ("one", "two", "three"))
    path = seal.seal(original, [one.public, two.public], tmp_path / "r.age")
    for reader in (one, two):
        target = tmp_path / f"out-{reader.path.stem}"
        assert seal.open_sealed(path, reader.path, target) == []
        assert tree(target) == tree(original)
    with pytest.raises(CapsuleError, match="other readers"):
        seal.open_sealed(path, three.path, tmp_path / "out-three")
    assert not (tmp_path / "out-three").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_plain_age_and_tar_can_open_it_too(original: Path, reader: Reader, tmp_path: Path) -> None:
    path = seal.seal(original, [reader.public], tmp_path / "r.age")
    assert path.read_bytes().startswith(b"age-encryption.org/v1\n")
    plain = pyrage.decrypt(path.read_bytes(), [reader.identity])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        tar.extractall(tmp_path / "plain", filter="data")
    assert tree(tmp_path / "plain") == tree(original)


def test_what_is_inside_follows_from_the_release_alone(original: Path, tmp_path: Path) -> None:
    packed = []
    for _ in range(2):
        stream = io.BytesIO()
        seal.pack(original, stream)
        packed.append(stream.getvalue())
    assert packed[0] == packed[1]
    with tarfile.open(fileobj=io.BytesIO(packed[0])) as tar:
        assert all((one.mtime, one.uid, one.gid, one.uname, one.mode) == (0, 0, 0, "", 0o644) for one in tar)


def test_keys_of_ssh(original: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], capture_output=True, check=False
    )
    assert made.returncode == 0
    public = (tmp_path / "id.pub").read_text().strip()
    path = seal.seal(original, [public], tmp_path / "r.age")
    assert seal.open_sealed(path, tmp_path / "id", tmp_path / "out") == []


def test_one_flipped_bit_or_a_cut_leaves_nothing(original: Path, reader: Reader, tmp_path: Path) -> None:
    path = seal.seal(original, [reader.public], tmp_path / "r.age")
    data = path.read_bytes()
    wrong = [data[:n] for n in (0, 10, 200, len(data) // 2, len(data) - 1)] + [data + b"x"]
    for place in (0, 30, 150, 400, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 4
        wrong.append(bytes(changed))
    for raw in wrong:
        path.write_bytes(raw)
        with pytest.raises(CapsuleError, match="changed"):
            seal.open_sealed(path, reader.path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_damaged_release_is_not_sealed(original: Path, reader: Reader, tmp_path: Path, tidy: Dataset) -> None:
    folder = release(tidy, tmp_path / "release", formats=("csv",))
    (folder / "README.txt").write_text("x")
    with pytest.raises(CapsuleError, match="as it was written"):
        seal.seal(folder, [reader.public], tmp_path / "r.age")
    assert not (tmp_path / "r.age").exists()


@pytest.mark.parametrize("text", ["", "age1", "age1qqqq", "ssh-ed25519 AAAA", "anna", "AGE-SECRET-KEY-1"])
def test_readers_that_are_none(text: str, original: Path, reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="Number 2"):
        seal.seal(original, [reader.public, text], tmp_path / "r.age")
    with pytest.raises(CapsuleError, match="at least one"):
        seal.seal(original, [], tmp_path / "r.age")


def test_files_and_folders_in_the_way(original: Path, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "r.age").write_text("mine")
    with pytest.raises(OutputError):
        seal.seal(original, [reader.public], tmp_path / "r.age")
    assert (tmp_path / "r.age").read_text() == "mine"
    path = seal.seal(original, [reader.public], tmp_path / "s.age")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(OutputError):
        seal.open_sealed(path, reader.path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"mine"}
    with pytest.raises(CapsuleError, match="no such file"):
        seal.open_sealed(tmp_path / "absent.age", reader.path, tmp_path / "new")


@pytest.mark.parametrize("text", ["", "# nothing\n", "AGE-SECRET-KEY-1\n", "age1xyz\n"])
def test_identities_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "id.txt").write_text(text)
    (tmp_path / "r.age").write_text("x")
    with pytest.raises(CapsuleError, match="private keys"):
        seal.open_sealed(tmp_path / "r.age", tmp_path / "id.txt", tmp_path / "out")
    with pytest.raises(CapsuleError, match="no such file"):
        seal.open_sealed(tmp_path / "r.age", tmp_path / "absent", tmp_path / "out")


# ---------------------------------------------------------------------- hostile content
def entry(name: str, data: bytes = b"x", **about: object) -> tuple[tarfile.TarInfo, bytes]:
    told = tarfile.TarInfo(name)
    told.size = len(data)
    for key, value in about.items():
        setattr(told, key, value)
    return told, data


HOSTILE = {
    "up": [entry("../evil")],
    "deep up": [entry("a/../../evil")],
    "absolute": [entry("/tmp/evil")],
    "backslash": [entry("..\\evil")],
    "drive": [entry("C:evil")],
    "a link": [entry("a", b"", type=tarfile.SYMTYPE, linkname="/etc")],
    "a link then through it": [entry("a", b"", type=tarfile.SYMTYPE, linkname="/tmp"), entry("a/evil")],
    "a hard link": [entry("a", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "a device": [entry("a", b"", type=tarfile.CHRTYPE)],
    "a pipe": [entry("a", b"", type=tarfile.FIFOTYPE)],
    "a folder": [entry("a", b"", type=tarfile.DIRTYPE)],
    "twice": [entry("a"), entry("a")],
    "twice by case": [entry("a"), entry("A")],
    "a file and a folder": [entry("a"), entry("a/b")],
    "a folder and a file": [entry("a/b"), entry("a")],
    "more said": [entry("a", pax_headers={"mtime": "1.5"})],
    "sparse": [entry("a", b"1\n0\n1\n", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})],
    "a long name": [entry("x" * 300)],
}


def packed(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for told, data in entries:
            tar.addfile(told, io.BytesIO(data))
    return stream.getvalue()


def opened(raw: bytes, reader: Reader, tmp_path: Path, **limits: int) -> list[str]:
    path = tmp_path / "h.age"
    path.write_bytes(pyrage.encrypt(raw, [reader.identity.to_public()]))
    return seal.open_sealed(path, reader.path, tmp_path / "inner" / "out", **limits)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tars_leave_nothing(name: str, reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="sealed release"):
        opened(packed(HOSTILE[name]), reader, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["h.age", "reader.txt"]
    assert not Path("/tmp/evil").exists()


def test_more_than_agreed_is_refused(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = packed([entry("a", bytes(5000)), entry("b", bytes(6000))])
    with pytest.raises(CapsuleError, match="more than"):
        opened(big, reader, tmp_path, most_bytes=10_999)
    monkeypatch.setattr(seal, "SLACK", 0)
    with pytest.raises(CapsuleError, match="more bytes than agreed"):
        opened(big, reader, tmp_path, most_bytes=11_000)
    monkeypatch.undo()
    monkeypatch.setattr(seal, "MOST_FILES", 1)
    with pytest.raises(CapsuleError, match="more than 1 files"):
        opened(big, reader, tmp_path)
    monkeypatch.undo()
    assert opened(big, reader, tmp_path, most_bytes=11_000) == ["manifest.json: absent, so nothing can be checked"]


def test_headers_that_lie(reader: Reader, tmp_path: Path) -> None:
    whole = packed([entry("ü" * 60, b"data")])
    assert b"path=" in whole
    lies = [
        whole[:600],
        whole.replace(b"path=", b"size="),
        whole.replace(b"path=", b"patx="),
        whole[512:],
        b"",
        b"x" * 512,
        b"\0" * 100,
        whole[:-10240],
    ]
    for raw in lies:
        with pytest.raises(CapsuleError):
            opened(raw, reader, tmp_path)
    assert not (tmp_path / "inner").exists()


def test_random_tars_never_escape_or_crash(reader: Reader, tmp_path: Path) -> None:
    rng = stream(5, "tar")
    whole = packed([entry("data/ä.csv", b"a,b\n1,2\n"), entry("b" * 150, bytes(700))])
    for turn in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, 3000, 1 + turn % 4).tolist():
            changed[place] = int(rng.integers(0, 256))
        target = tmp_path / "stage"
        target.mkdir()
        with contextlib.suppress(CapsuleError):
            seal.unpack(io.BytesIO(bytes(changed)), target)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["reader.txt", "stage"]
        shutil.rmtree(target)


def test_without_the_extra_it_says_what_to_install(original: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyrage'] = None\n"
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'pyrage' else found(name, *rest)\n"
        "from ehrsatz.capsule import seal\n"
        "from ehrsatz.errors import MissingExtraError\n"
        "for act in (lambda: seal.seal('a', ['b'], 'c'), lambda: seal.open_sealed('a', 'b', 'c')):\n"
        "    try:\n        act()\n    except MissingExtraError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.count("pip install 'ehrsatz[encrypt]'") == 2
    assert issubclass(MissingExtraError, ImportError)
