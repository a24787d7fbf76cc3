"""Keys: made once, never replaced, read back only by who may, and none under which anyone could sign."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import date
from pathlib import Path

import pytest

from capsule.people import House
from ehrsatz.capsule import keys, strict
from ehrsatz.errors import CapsuleError, OutputError

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


def test_a_pair_and_its_files(tmp_path: Path) -> None:
    secret, public = keys.create("anna", "data steward", tmp_path / "new", valid_until=date(2026, 1, 31))
    assert (secret.name, public.name) == ("anna.key", "anna.pub.json")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert b"BEGIN PRIVATE KEY" in secret.read_bytes()
    told = keys.read_public(public)
    assert (told.name, told.role, told.valid_until) == ("anna", "data steward", date(2026, 1, 31))
    assert told.to_dict() == json.loads(public.read_text())
    assert keys.read_private(secret).public == told
    assert not told.lapsed(date(2026, 1, 31))
    assert told.lapsed(date(2026, 2, 1))
    assert "private" not in repr(keys.read_private(secret))


def test_a_pair_is_never_replaced(tmp_path: Path) -> None:
    secret, public = keys.create("anna", "steward", tmp_path)
    before = secret.read_bytes(), public.read_bytes()
    with pytest.raises(OutputError, match="never replaced"):
        keys.create("anna", "steward", tmp_path)
    secret.unlink()
    with pytest.raises(OutputError):
        keys.create("anna", "steward", tmp_path)
    assert not secret.exists(), "no half of a pair stays"
    assert public.read_bytes() == before[1]


def test_a_passphrase_locks(tmp_path: Path) -> None:
    secret, _ = keys.create("anna", "steward", tmp_path, passphrase=b"correct horse")
    assert keys.is_locked(secret)
    assert keys.read_private(secret, passphrase=b"correct horse").public.name == "anna"
    with pytest.raises(CapsuleError, match="locked"):
        keys.read_private(secret)
    with pytest.raises(CapsuleError, match="another one") as caught:
        keys.read_private(secret, passphrase=b"wrong horse")
    assert "wrong horse" not in str(caught.value)
    with pytest.raises(CapsuleError, match="at least 8"):
        keys.create("bo", "steward", tmp_path, passphrase=b"short")


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a b", "ä", "x" * 65, "a.", "-a"])
def test_names_that_files_cannot_bear(name: str, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError):
        keys.create(name, "steward", tmp_path)
    with pytest.raises(CapsuleError):
        keys.create("anna", "st\nward", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    secret, _ = keys.create("anna", "steward", tmp_path)
    os.chmod(secret, 0o644)
    with pytest.raises(CapsuleError, match="chmod 600"):
        keys.read_private(secret)


def test_a_private_key_that_is_none(tmp_path: Path, people: House) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    secret, _ = keys.create("anna", "steward", tmp_path)
    secret.write_bytes(people.folder.joinpath("bo.key").read_bytes())
    with pytest.raises(CapsuleError, match="another key"):
        keys.read_private(secret)
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for raw, words in ((other, "another kind"), (b"nonsense", "something else"), (b"", "something else")):
        secret.write_bytes(raw)
        with pytest.raises(CapsuleError, match=words):
            keys.read_private(secret)
    with pytest.raises(CapsuleError, match="no such file"):
        keys.read_private(tmp_path / "absent.key")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "ehrsatz release signature"},
        {"format": 2},
        {"algorithm": "RSA"},
        {"name": "../a"},
        {"role": ""},
        {"public_key": "AAAA"},
        {"public_key": None},
        {"valid_until": "tomorrow"},
        {"valid_until": "2025-02-30"},
    ],
)
def test_public_keys_that_are_none(change: dict[str, object], tmp_path: Path, people: House) -> None:
    path = tmp_path / "x.pub.json"
    path.write_bytes(strict.render({**people.anna.public.to_dict(), **change}))
    with pytest.raises(CapsuleError, match="something else"):
        keys.read_public(path)


def test_what_is_signed_says_what_it_is(people: House) -> None:
    told = people.anna.sign({"kind": "one kind", "a": 1})
    assert told == people.anna.sign({"kind": "one kind", "a": 1}), "Ed25519 draws nothing"
    key = people.anna.public.public_key
    assert keys.is_signed(told, key)
    assert not keys.is_signed({**told, "kind": "another kind"}, key)
    assert not keys.is_signed({**told, "a": 2}, key)
    assert not keys.is_signed({**told, "b": 2}, key)
    assert not keys.is_signed(told, people.bo.public.public_key)
    assert not keys.is_signed({key: value for key, value in told.items() if key != "signature"}, key)
    for wrong in ("", "?", 3, None, base64.b64encode(bytes(64)).decode(), told["signature"] + "A"):
        assert not keys.is_signed({**told, "signature": wrong}, key)


def test_the_signature_is_plain_ed25519(people: House) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    told = people.anna.sign({"kind": "a kind", "n": 1})
    raw = base64.b64decode(people.anna.public.public_key)
    Ed25519PublicKey.from_public_bytes(raw).verify(
        base64.b64decode(told["signature"]), b'a kind v1\n{\n  "kind": "a kind",\n  "n": 1\n}\n'
    )


def test_a_second_spelling_of_a_signature_is_refused(people: House) -> None:
    told = people.anna.sign({"kind": "a kind"})
    raw = base64.b64decode(told["signature"])
    s = int.from_bytes(raw[32:], "little") + ORDER  # the same number modulo the order of the group
    other = base64.b64encode(raw[:32] + s.to_bytes(32, "little")).decode()
    assert not keys.is_signed({**told, "signature": other}, people.anna.public.public_key)


def points_of_small_order() -> list[bytes]:
    """Every encoding of a point whose eightfold is the neutral one, found by calculation."""
    d = -121665 * pow(121666, -1, P) % P

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        root = pow(square, (P + 3) // 8, P)
        if root * root % P != square:
            root = root * pow(2, (P - 1) // 4, P) % P
        return root if root * root % P == square else None

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        product = d * a[0] * b[0] * a[1] * b[1]
        return (
            (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P,
            (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P,
        )

    found: set[tuple[int, int]] = set()
    y = 2
    while len(found) < 8:  # a point times the prime order is one of the eight
        x = x_of(y)
        y += 1
        if x is None:
            continue
        total, step, times = (0, 1), (x, y - 1), ORDER
        while times:
            total, step, times = (add(total, step) if times & 1 else total), add(step, step), times >> 1
        found |= {total, (-total[0] % P, total[1])}
    spelled = []
    for x, y in found:
        for coordinate in {y, y + P}:
            if coordinate < 2**255:
                spelled += [(coordinate | sign << 255).to_bytes(32, "little") for sign in {x & 1, 1 - (x & 1)}]
    return spelled


def test_keys_under_which_anyone_can_sign_are_refused() -> None:
    weak = points_of_small_order()
    assert len(weak) >= 8
    for raw in weak:
        with pytest.raises(ValueError):
            keys.raw_key(base64.b64encode(raw).decode())


def test_a_public_key_has_one_spelling(people: House) -> None:
    text = people.anna.public.public_key
    raw = base64.b64decode(text)
    assert keys.raw_key(text) == raw
    for other in (text + "\n", " " + text, text[:-1], base64.b64encode(raw + b"\0").decode(), text.rstrip("=") + "A="):
        with pytest.raises(ValueError):
            keys.raw_key(other)


def test_fingerprints_are_short_and_of_the_key(people: House) -> None:
    raw = base64.b64decode(people.anna.public.public_key)
    assert people.anna.public.fingerprint.replace("-", "") == hashlib.sha256(raw).hexdigest()[:16]
    assert people.anna.public.fingerprint != people.bo.public.fingerprint


@pytest.mark.parametrize("text", ["2025-1-31", "20250131", "2025-02-30", "2025-01-31T00:00", "", None, 20250131])
def test_days_that_are_none(text: object) -> None:
    with pytest.raises(CapsuleError):
        keys.day(text)
