"""Keys of persons: Ed25519, one file with the private half, one to give away.

`NAME.key` is a private key in PKCS#8 PEM, readable by its owner alone and encrypted where a passphrase is given.
`NAME.pub.json` holds name, role, public key and last day of use: whoever checks a release needs this file, got from
the person by a way that the sender of the release does not control. What is signed always begins with a line that says
what it is, so that a signature under one kind of statement is none under another.

References
----------
Josefsson & Liusvaara, Edwards-Curve Digital Signature Algorithm (EdDSA), RFC 8032, doi:10.17487/RFC8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ehrsatz.capsule import strict
from ehrsatz.errors import CapsuleError, OutputError
from ehrsatz.exporters.base import output_error

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = 1
ALGORITHM = "Ed25519"
KIND = "ehrsatz public key"
PRIVATE, PUBLIC = ".key", ".pub.json"
LOCKED = b"BEGIN ENCRYPTED PRIVATE KEY"
MOST_BYTES = 64 * 1024  # of a key or of one signed statement
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROLE = re.compile(r"[^\W_][\w .-]{0,63}")
_P = 2**255 - 19
# the y coordinates of points of small order: under such a key anyone can sign (Cremers & Jackson 2019, table 2)
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _P - 1,
        _P,
        _P + 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)


@dataclass(frozen=True)
class PublicKey:
    """Who signs, and by what it is checked.

    `public_key` is base64 of the 32 raw bytes; `valid_until` the last day on which it may sign, None without end.
    """

    name: str
    role: str
    public_key: str
    valid_until: date | None = None

    @property
    def fingerprint(self) -> str:
        """Sixteen signs to compare by telephone: the start of the SHA-256 of the raw key."""
        text = hashlib.sha256(raw_key(self.public_key)).hexdigest()[:16]
        return "-".join(text[i : i + 4] for i in range(0, 16, 4))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a public key file."""
        return {
            "format": FORMAT,
            "kind": KIND,
            "algorithm": ALGORITHM,
            **self.who(),
            "valid_until": None if self.valid_until is None else self.valid_until.isoformat(),
        }

    def who(self) -> dict[str, str]:
        """Return what a signed statement says about its signer."""
        return {"name": self.name, "role": self.role, "public_key": self.public_key}

    def lapsed(self, day: date) -> bool:
        """Say whether the key may no longer sign on that day."""
        return self.valid_until is not None and day > self.valid_until


@dataclass(frozen=True)
class Key:
    """A private key with what is publicly known of it."""

    public: PublicKey
    private: Ed25519PrivateKey = field(repr=False)

    def sign(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        """Return a statement with its signature; the same statement gives the same bytes."""
        return {**statement, "signature": base64.b64encode(self.private.sign(message(statement))).decode()}


def message(statement: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: a line that names the kind of statement, then its one spelling."""
    rest = {key: value for key, value in statement.items() if key != "signature"}
    return f"{statement['kind']} v{FORMAT}\n".encode() + strict.render(rest)


def is_signed(statement: Mapping[str, Any], public_key: str) -> bool:
    """Say whether a statement carries a signature under this public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signature = base64.b64decode(statement["signature"], validate=True)
        if base64.b64encode(signature).decode() != statement["signature"]:
            return False  # base64 has spare bits: only one spelling counts
        Ed25519PublicKey.from_public_bytes(raw_key(public_key)).verify(signature, message(statement))
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def raw_key(text: Any) -> bytes:
    """Return the 32 bytes of a public key.

    Raises
    ------
    ValueError
        When the text is no base64 of a key that only its owner can sign under.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("no base64") from None
    if len(raw) != 32 or base64.b64encode(raw).decode() != text:
        raise ValueError("no 32 bytes in their one spelling")
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y in _SMALL_ORDER or y >= _P:
        raise ValueError("a point under which anyone can sign")
    return raw


def signer_of(statement: Mapping[str, Any]) -> PublicKey:
    """Return who a statement says has signed it.

    Raises
    ------
    ValueError
        When it says nothing of use.
    """
    told = statement.get("key")
    if not isinstance(told, dict) or set(told) != {"name", "role", "public_key"}:
        raise ValueError("no signer")
    return _person(told)


def day(text: Any, what: str = "a date") -> date:
    """Read a date written as 2025-01-31.

    Raises
    ------
    CapsuleError
        When it is none.
    """
    try:
        if isinstance(text, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise CapsuleError(f"Expected {what} as year-month-day.", "It is something else.", "Write it as 2025-01-31.")


# ---------------------------------------------------------------------- files
def create(
    name: str,
    role: str,
    folder: str | Path,
    *,
    valid_until: date | None = None,
    passphrase: bytes | None = None,
) -> tuple[Path, Path]:
    """Make a key pair and return the paths of the private and of the public file.

    Parameters
    ----------
    name
        Of the person; letters, digits, '.', '_' and '-', for files are named after it.
    role
        In which the person signs, as a policy names it.
    folder
        Where both files go; an existing file is never replaced.
    valid_until
        Last day on which the key may sign; None without end.
    passphrase
        Encrypts the private key; None leaves it to the permissions of the file.

    Raises
    ------
    CapsuleError
        When the name or the role cannot stand in a release.
    OutputError
        When a file of that name is there, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _NAME.fullmatch(name) or name.endswith("."):
        raise CapsuleError(
            "Expected a name of up to 64 letters, digits, '.', '_' and '-'.", "It has other signs.", "Choose another."
        )
    if not _ROLE.fullmatch(role):
        raise CapsuleError(
            "Expected a role of up to 64 letters, digits, spaces and '-'.", "It has other signs.", "Choose another."
        )
    if passphrase is not None and len(passphrase) < 8:
        raise CapsuleError(
            "Expected a passphrase of at least 8 signs.", f"It has {len(passphrase)}.", "Choose a longer one."
        )
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public = PublicKey(name, role, base64.b64encode(raw).decode(), valid_until)
    locked: serialization.KeySerializationEncryption = (
        serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    )
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    paths = Path(folder) / (name + PRIVATE), Path(folder) / (name + PUBLIC)
    made: list[Path] = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, data, mode in zip(paths, (pem, strict.render(public.to_dict())), (0o600, 0o644)):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
            made.append(path)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
    except BaseException as error:  # also an interrupt: no half of a pair stays
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise OutputError(
                "Expected to write a new pair of keys.",
                f"A file of that name is there: {name}{PRIVATE} or {name}{PUBLIC}.",
                "Choose another name or folder; a key is never replaced.",
            ) from None
        if isinstance(error, OSError):
            raise output_error("the keys", error) from None
        raise
    return paths


def read_public(path: str | Path) -> PublicKey:
    """Read a public key file.

    Raises
    ------
    CapsuleError
        When it is absent, or no public key of ehrsatz.
    """
    try:
        data = strict.parse(strict.read(Path(path).resolve(), most=MOST_BYTES))
        if (data.get("kind"), data.get("algorithm"), data.get("format")) != (KIND, ALGORITHM, FORMAT):
            raise ValueError("another kind of file")
        until = data.get("valid_until")
        person = _person(data)
        return PublicKey(person.name, person.role, person.public_key, None if until is None else day(until))
    except FileNotFoundError:
        found = "There is no such file."
    except (ValueError, TypeError):
        found = "It holds something else."
    raise CapsuleError(
        f"Expected a public key file at '{path}'.", found, f"Name the NAME{PUBLIC} that `ehrsatz keys new` wrote."
    )


def is_locked(path: str | Path) -> bool:
    """Say whether a private key needs a passphrase."""
    try:
        return LOCKED in strict.read(Path(path).resolve(), most=MOST_BYTES)
    except (FileNotFoundError, strict.NotPlain):
        return False


def read_private(path: str | Path, *, passphrase: bytes | None = None) -> Key:
    """Read a private key; its public file lies beside it.

    Parameters
    ----------
    path
        NAME.key as `create` wrote it.
    passphrase
        Of an encrypted key.

    Raises
    ------
    CapsuleError
        When it is absent, no Ed25519 key, locked, open to others, or another key than its public file says.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    place = Path(path)
    expected = f"Expected a private key at '{path}'."
    try:
        pem = strict.read(place.resolve(), most=MOST_BYTES)
    except FileNotFoundError:
        raise CapsuleError(expected, "There is no such file.", "Make one with: ehrsatz keys new") from None
    except strict.NotPlain as error:
        raise CapsuleError(expected, f"It {error}.", "Name the NAME.key itself.") from None
    locked = LOCKED in pem
    if os.name == "posix" and not locked and stat.S_IMODE(place.stat().st_mode) & 0o077:
        raise CapsuleError(
            expected, "Others on this machine may read it, and it has no passphrase.", f"Run: chmod 600 {place.name}"
        )
    if locked and passphrase is None:
        raise CapsuleError(expected, "It is locked.", "Give its passphrase with --passphrase-file.")
    try:
        private = serialization.load_pem_private_key(pem, passphrase if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = "The passphrase is another one." if locked else "It holds something else."
        raise CapsuleError(expected, found, "Name the NAME.key that `ehrsatz keys new` wrote.") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise CapsuleError(expected, "It is a key of another kind than Ed25519.", "Make one with: ehrsatz keys new")
    public = read_public(place.with_name(place.name.removesuffix(PRIVATE) + PUBLIC))
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    if raw != raw_key(public.public_key):
        raise CapsuleError(
            expected, "The public file beside it belongs to another key.", "Put the two files of one pair together."
        )
    return Key(public, private)


def _person(told: Mapping[str, Any]) -> PublicKey:
    """Read name, role and key; ValueError where one is amiss."""
    name, role = told.get("name"), told.get("role")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(role, str) or not _ROLE.fullmatch(role):
        raise ValueError("no name or role")
    raw_key(told.get("public_key"))
    return PublicKey(name, role, str(told["public_key"]))
