"""Send HL7 version 2 messages over MLLP: one message, its acknowledgement, the next.

The original acknowledgement mode: a receiver answers every message with an MSA segment: AA (or CA) took it, AE (or CE)
could not, AR (or CR) refuses it for now. A refusal, a lost connection and a silent peer are tried again with growing
pauses, AE is not: the same message would fail again. What was acknowledged is noted in a state file after every answer,
so that a feed that was broken off goes on where it stood. A message whose answer got lost is sent again with the same
control number (MSH-10), by which receivers know it.

References
----------
HL7 Version 2.5.1, chapter 2, section 2.9 (acknowledgements); Transport Specification: MLLP, release 1.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ehrsatz.errors import OutputError, SourceError
from ehrsatz.files import writing

START, END = b"\x0b", b"\x1c\r"
SUFFIXES = (".hl7", ".hl7v2", ".er7")
HEADERS = ("FHS", "BHS", "BTS", "FTS")
TAKEN, FAILED, REFUSED = ("AA", "CA"), ("AE", "CE"), ("AR", "CR")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # s, between tries; each is twice the one before
LARGEST_ANSWER = 1 << 20  # bytes


@dataclass(frozen=True)
class Message:
    """One message of a file.

    Parameters
    ----------
    file, number
        Where it stands; numbers from 1 on.
    kind, control
        MSH-9 (its first two components) and MSH-10.
    data
        Its segments, each with its carriage return.
    """

    file: str
    number: int
    kind: str
    control: str
    data: bytes

    @property
    def place(self) -> str:
        """Where and what it is, without any content."""
        return f"message {self.number:,} of {self.file} ({self.kind or 'no type'})"


@dataclass
class Sent:
    """What became of a feed.

    Parameters
    ----------
    acknowledged
        Messages that the peer took, by type.
    before
        Messages that an earlier run had sent.
    failed
        Place and answer of those that it did not take.
    """

    acknowledged: Counter[str] = field(default_factory=Counter)
    before: int = 0
    failed: list[tuple[Message, str]] = field(default_factory=list)


# ---------------------------------------------------------------------- messages
def files_of(what: Path) -> list[Path]:
    """Return the HL7 files of a folder, master files first, or the file itself.

    Raises
    ------
    SourceError
        When there are none.
    """
    if what.is_file():
        return [what]
    found = sorted(one for one in what.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
    if not found:
        raise SourceError(
            f"Expected HL7 files ({', '.join(SUFFIXES)}) to send.", "There are none.", "Export with --format hl7v2."
        )
    return sorted(found, key=lambda one: (not one.stem.startswith("master"), one.relative_to(what).as_posix()))


def messages(path: Path) -> Iterator[Message]:
    """Yield the messages of a file, whatever ends its lines; batch headers and bytes of MLLP are left out.

    Raises
    ------
    SourceError
        When it cannot be read, or its first segment is none of a message or batch.
    """
    held: list[str] = []
    number = 0
    try:
        with path.open(encoding="latin-1", newline=None) as file:  # latin-1: bytes go through as they are
            for line in file:
                segment = line.strip("\x0b\x1c\n").removeprefix("\xef\xbb\xbf")
                if not segment or segment[:3] in HEADERS:
                    continue
                if segment[:3] == "MSH":
                    if held:
                        number += 1
                        yield _message(path.name, number, held)
                    held = []
                elif not held:
                    raise SourceError(
                        f"Expected '{path.name}' to begin with an MSH, FHS or BHS segment.",
                        "It begins with something else.",
                        "Check whether it is HL7 version 2.",
                    )
                held.append(segment)
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refuses it.", "Check its permissions."
        ) from None
    if held:
        yield _message(path.name, number + 1, held)


def _message(file: str, number: int, segments: Sequence[str]) -> Message:
    sign = segments[0][3:4] or "|"
    fields = segments[0].split(sign)
    kind = "^".join(fields[8].split("^")[:2]) if len(fields) > 8 else ""
    control = fields[9] if len(fields) > 9 else ""
    data = "".join(f"{one}\r" for one in segments).encode("latin-1")
    return Message(file, number, kind, control, data)


# ---------------------------------------------------------------------- the peer
class Peer:
    """A receiver of messages: connects when needed, and anew after a failure.

    Parameters
    ----------
    host, port
        Its address.
    timeout
        Seconds to wait for a connection, and for an answer.
    tls
        Context of an encrypted connection; None: plain.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        self.host, self.port, self.timeout, self.tls = host, port, timeout, tls
        self._socket: socket.socket | None = None
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket, self._held = None, b""

    def ask(self, message: Message) -> str:
        """Send a message and return the code of its acknowledgement (MSA-1).

        Raises
        ------
        OSError
            When the connection fails or the peer does not answer in time.
        ValueError
            When it answers something that is no acknowledgement of this message.
        """
        if self._socket is None:
            plain = socket.create_connection((self.host, self.port), timeout=self.timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain
            if self.tls is not None:
                self._socket = self.tls.wrap_socket(plain, server_hostname=self.host)
        self._socket.sendall(START + message.data + END)
        return _code(self._answer(self._socket), message.control)

    def _answer(self, link: socket.socket) -> bytes:
        limit = time.monotonic() + self.timeout
        while END not in self._held:
            left = limit - time.monotonic()
            if left <= 0:
                raise TimeoutError
            link.settimeout(left)
            more = link.recv(65_536)
            if not more:
                raise ConnectionResetError
            self._held += more
            if len(self._held) > LARGEST_ANSWER:
                raise ValueError("its answer has no end")
        answer, _, self._held = self._held.partition(END)
        link.settimeout(self.timeout)
        return answer


def _code(answer: bytes, control: str) -> str:
    """Return MSA-1 of an acknowledgement, checked to be of the message with this control number."""
    segments = answer.lstrip(START + b"\r\n").replace(b"\n", b"\r").split(b"\r")
    sign = segments[0][3:4]
    msa = next((one for one in segments if one[:3] == b"MSA"), None)
    if segments[0][:3] != b"MSH" or msa is None:
        raise ValueError("its answer is no acknowledgement")
    fields = msa.split(sign)
    if len(fields) < 3 or fields[2].decode("latin-1") != control:
        raise ValueError("it acknowledges another message")
    code = fields[1].decode("latin-1")
    if code not in {*TAKEN, *FAILED, *REFUSED}:
        raise ValueError("its acknowledgement has an unknown code")
    return code


# ---------------------------------------------------------------------- what was sent
class State:
    """A file that notes how far each file of a feed was acknowledged, a line per message.

    Parameters
    ----------
    path
        Of the state file; None: `sent-<hash>.state` here, another name for every feed and receiver.
    files
        Of the feed.
    peer
        Address of the receiver: to another one everything is sent.
    """

    def __init__(self, path: Path | None, files: Sequence[Path], peer: str) -> None:
        self.head = {"peer": peer, "files": [[one.name, _print_of(one)] for one in files]}
        name = hashlib.sha256(json.dumps(self.head).encode()).hexdigest()[:12]
        self.path = path or Path(f"sent-{name}.state")
        self.done = [0] * len(files)

    def read(self) -> int:
        """Read what an earlier run noted, and return how many messages it had sent.

        Raises
        ------
        SourceError
            When the file is of another feed or receiver, or is none of ours.
        """
        if not self.path.exists():
            return 0
        try:
            head, *lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            same = json.loads(head) == self.head
            noted = [line.split() for line in lines if line.endswith("\n")]  # a last line may be cut off
            for place, number in noted:
                self.done[int(place)] = max(self.done[int(place)], int(number))
        except (ValueError, IndexError, OSError):
            same = False
        if not same:
            raise SourceError(
                "Expected the state file of this feed and this receiver.",
                "It is of other files, of another receiver, or damaged.",
                "Send all with --again, or name another state file with --state.",
            )
        return sum(self.done)

    def begin(self) -> None:
        """Write the file anew, with what is done so far."""
        lines = [json.dumps(self.head), *(f"{place} {number}" for place, number in enumerate(self.done) if number)]
        with writing("the state file"):
            self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def note(self, place: int, number: int) -> None:
        """Note that a message of the file at this place was dealt with."""
        with writing("the state file"), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{place} {number}\n")


def _print_of(path: Path) -> str:
    """Size and hash of the first and last bytes: enough to tell one feed from another."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(65_536)
        file.seek(max(0, size - 65_536))
        return f"{size}-{hashlib.sha256(first + file.read()).hexdigest()[:24]}"


# ---------------------------------------------------------------------- sending
def send(
    files: Sequence[Path],
    peer: Peer,
    state: State,
    *,
    rate: float | None = None,
    retries: int = 5,
    stop_on_error: bool = False,
    told: Callable[[Message, str], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send all messages of files, in order, that the state does not note as sent.

    Parameters
    ----------
    files
        Of the feed, in order.
    peer
        Where to.
    state
        Of this feed; it is read before and written after every message.
    rate
        At most so many messages a second; None: as fast as the peer answers.
    retries
        Tries after the first, for a message that is refused, and for one without an answer.
    stop_on_error
        Stop at the first message that the peer does not take; else go on, and list them.
    told
        Called with every message and its answer.
    sleep
        Waits so many seconds.

    Raises
    ------
    OutputError
        When the peer cannot be reached, or does not answer, after all tries; or when it does not take a message, and
        `stop_on_error` is set.
    """
    sent = Sent(before=sum(state.done))
    state.begin()
    begun, tried = time.monotonic(), 0
    for place, path in enumerate(files):
        for message in messages(path):
            if message.number <= state.done[place]:
                continue
            if rate is not None and (wait := begun + tried / rate - time.monotonic()) > 0:
                sleep(wait)
            tried += 1
            code = _deliver(message, peer, retries, sleep)
            if told is not None:
                told(message, code)
            if code in TAKEN:
                sent.acknowledged[message.kind] += 1
            else:
                sent.failed.append((message, code))
                if stop_on_error:
                    raise _not_taken(message, code, sum(sent.acknowledged.values()))
            state.note(place, message.number)
            state.done[place] = message.number
    return sent


def _deliver(message: Message, peer: Peer, retries: int, sleep: Callable[[float], None]) -> str:
    """Send one message until it is answered for good, and return the answer."""
    pause = FIRST_PAUSE
    for left in range(retries, -1, -1):
        try:
            code = peer.ask(message)
            if code not in REFUSED or not left:
                return code
        except (OSError, ValueError) as error:
            peer.close()
            if not left or isinstance(error, ssl.SSLCertVerificationError):
                raise _unreachable(message, peer, error, retries - left + 1) from None
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError


def _unreachable(message: Message, peer: Peer, error: OSError | ValueError, tries: int) -> OutputError:
    if isinstance(error, ssl.SSLError):
        found = "The encrypted connection fails"
        found += ": its certificate is not trusted." if isinstance(error, ssl.SSLCertVerificationError) else "."
    elif isinstance(error, TimeoutError):
        found = f"It does not answer within {peer.timeout:g} s."
    elif isinstance(error, ConnectionRefusedError):
        found = "It refuses the connection: nothing listens there."
    elif isinstance(error, socket.gaierror):
        found = "No such host is known."
    elif isinstance(error, OSError):
        found = "It closed the connection, or cannot be reached."
    else:
        found = f"Received, but {error}."
    many = f"after {tries} tries" if tries > 1 else "after one try"
    return OutputError(
        f"Expected {peer.host}:{peer.port} to acknowledge {message.place}.",
        f"{found} Given up {many}.",
        "Check the address and the receiver, then run the same command: it goes on with this message.",
    )


def _not_taken(message: Message, code: str, before: int) -> OutputError:
    return OutputError(
        f"Expected the receiver to take {message.place}.",
        f"It answered {code} after {before:,} messages that it took.",
        "Look into the receiver's log; run the same command to go on with this message.",
    )


def context(authorities: Path | None = None) -> ssl.SSLContext:
    """Return what an encrypted connection trusts: the system's authorities, or those of a PEM file alone.

    Raises
    ------
    SourceError
        When the file holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except (OSError, ssl.SSLError):
        raise SourceError("Expected a PEM file of certificates.", "It cannot be read as one.", "Check --ca.") from None
