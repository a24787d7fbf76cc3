"""MLLP: against the server of the package hl7, and against receivers that refuse, stall, err or talk nonsense."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ehrsatz.errors import OutputError, SourceError
from ehrsatz.mllp import END, START, Message, Peer, Sent, State, context, files_of, messages, send

MSH = "MSH|^~\\&|A|B|||20200101000000||ADT^A04^ADT_A01|{number}|T|2.5.1||||||UNICODE UTF-8\r"
N = 6


def feed(folder: Path, n: int = N) -> Path:
    folder.mkdir(exist_ok=True)
    body = "".join(f"{MSH.format(number=one)}PID|1||{one}^^^A^PI||Zoë^\r" for one in range(1, n + 1))
    path = folder / "feed.hl7"
    path.write_bytes(f"FHS|^~\\&|A\rBHS|^~\\&|A\r{body}BTS|{n}\rFTS|1\r".encode())
    return path


def answer(data: bytes, code: str) -> bytes:
    control = data.split(b"|")[9].decode()
    return START + f"MSH|^~\\&|B|A|||20200101||ACK|9|T|2.5.1\rMSA|{code}|{control}\r".encode() + END


class Receiver:
    """A receiver of one's own making: `talk` gets the bytes of a message and returns the answer; None closes."""

    def __init__(self, talk: Callable[[bytes], bytes | None], tls: ssl.SSLContext | None = None) -> None:
        self.talk, self.tls = talk, tls
        self.got: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            try:
                self._one(self.tls.wrap_socket(link, server_side=True) if self.tls else link)
            except OSError:
                continue

    def _one(self, link: socket.socket) -> None:
        held = b""
        with link:
            while more := link.recv(65_536):
                held += more
                while END in held:
                    data, _, held = held.partition(END)
                    self.got.append(data.removeprefix(START))
                    back = self.talk(data)
                    if back is None:
                        return
                    link.sendall(back)


@contextmanager
def receiver(talk: Callable[[bytes], bytes | None], tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    made = Receiver(talk, tls)
    try:
        yield made
    finally:
        made.server.close()


def run(path: Path, port: int, tmp: Path, *, timeout: float = 2.0, tls: ssl.SSLContext | None = None, **more: object):  # type: ignore[no-untyped-def]
    state = State(tmp / "state", [path], f"127.0.0.1:{port}")
    state.read()
    pauses: list[float] = []
    with Peer("localhost" if tls else "127.0.0.1", port, timeout=timeout, tls=tls) as peer:
        return send([path], peer, state, sleep=pauses.append, **more), pauses  # type: ignore[arg-type]


def taken(data: bytes) -> bytes:
    return answer(data, "AA")


# ---------------------------------------------------------------------- messages of files
def test_messages_of_a_batch_have_their_place_type_and_bytes(tmp_path: Path) -> None:
    found = list(messages(feed(tmp_path)))
    assert [one.number for one in found] == list(range(1, N + 1))
    assert {one.kind for one in found} == {"ADT^A04"} and found[2].control == "3"
    assert found[0].data == f"{MSH.format(number=1)}PID|1||1^^^A^PI||Zoë^\r".encode()
    assert found[0].place == "message 1 of feed.hl7 (ADT^A04)"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("framed", [False, True])
def test_any_end_of_line_and_mllp_bytes_give_the_same_messages(tmp_path: Path, end: str, framed: bool) -> None:
    one = f"{MSH.format(number=1)}PID|1||x\r".replace("\r", end)
    text = f"\x0b{one}\x1c{end}" * 2 if framed else one * 2
    path = tmp_path / "a.hl7"
    path.write_bytes(text.encode())
    assert [found.data for found in messages(path)] == [f"{MSH.format(number=1)}PID|1||x\r".encode()] * 2


def test_master_files_go_first_and_no_file_is_an_error(tmp_path: Path) -> None:
    for name in ("feed-00001.hl7", "master.hl7", "feed-00000.hl7", "notes.txt"):
        (tmp_path / name).write_text("MSH|^~\\&|\r")
    assert [one.name for one in files_of(tmp_path)] == ["master.hl7", "feed-00000.hl7", "feed-00001.hl7"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="There are none"):
        files_of(tmp_path / "empty")


def test_what_is_no_hl7_is_refused_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_text("secret words\n")
    with pytest.raises(SourceError, match="begins with something else") as caught:
        list(messages(path))
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------------- the server of the package hl7
def test_a_server_that_others_wrote_gets_every_message_once_in_order(tmp_path: Path) -> None:
    hl7 = pytest.importorskip("hl7")
    mllp = pytest.importorskip("hl7.mllp")
    got: list[str] = []
    ready: list[int] = []
    up, loop = threading.Event(), asyncio.new_event_loop()

    async def serve(reader, writer) -> None:  # type: ignore[no-untyped-def]
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                got.append(str(message))
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async def main() -> None:
        server = await mllp.start_hl7_server(serve, "127.0.0.1", 0, encoding="utf-8")
        ready.append(server.sockets[0].getsockname()[1])
        up.set()

    def live() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(main())
        loop.run_forever()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        path = feed(tmp_path, 200)
        sent, _ = run(path, ready[0], tmp_path)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
    assert isinstance(sent, Sent) and sent.acknowledged["ADT^A04"] == 200 and not sent.failed
    assert [hl7.parse(one).extract_field("MSH", field_num=10) for one in got] == [str(k) for k in range(1, 201)]
    assert got[0].replace("\n", "\r").rstrip("\r") == next(iter(messages(path))).data.decode().rstrip("\r")


# ---------------------------------------------------------------------- receivers that misbehave
def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OutputError, match=r"message 1 of feed.hl7 \(ADT\^A04\).*nothing listens.*after 4 tries"):
        run(feed(tmp_path), port, tmp_path, retries=3)


def test_a_silent_receiver_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    with (
        receiver(lambda data: b"") as silent,
        pytest.raises(OutputError, match=r"does not answer within 0.2 s.*after 2 tries"),
    ):
        run(feed(tmp_path), silent.port, tmp_path, timeout=0.2, retries=1)


def test_pauses_grow_and_a_refusal_is_tried_again(tmp_path: Path) -> None:
    codes = iter(["AR", "AR", "AR", *["AA"] * N])
    with receiver(lambda data: answer(data, next(codes))) as busy:
        sent, pauses = run(feed(tmp_path), busy.port, tmp_path, retries=5)
    assert pauses == [0.5, 1.0, 2.0] and sum(sent.acknowledged.values()) == N


def test_an_error_is_not_tried_again_and_the_feed_goes_on(tmp_path: Path) -> None:
    with receiver(lambda data: answer(data, "AE" if data.split(b"|")[9] == b"3" else "AA")) as picky:
        sent, pauses = run(feed(tmp_path), picky.port, tmp_path)
    assert len(picky.got) == N and pauses == []
    assert [(one.number, code) for one, code in sent.failed] == [(3, "AE")]


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_stop_on_error_names_place_and_type_and_no_content(tmp_path: Path, code: str) -> None:
    talk = lambda data: answer(data, code if data.split(b"|")[9] == b"3" else "AA")  # noqa: E731
    with receiver(talk) as picky, pytest.raises(OutputError) as caught:
        run(feed(tmp_path), picky.port, tmp_path, stop_on_error=True, retries=1)
    assert "message 3 of feed.hl7 (ADT^A04)" in str(caught.value) and code in str(caught.value)
    assert "Zo" not in str(caught.value)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        (START + b"HTTP/1.1 400 Bad Request" + END, "no acknowledgement"),
        (START + b"MSH|^~\\&|B\rMSA|AA|other\r" + END, "acknowledges another message"),
        (START + b"MSH|^~\\&|B\rMSA|OK|1\r" + END, "unknown code"),
        (b"x" * 1_100_000, "has no end"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, back: bytes, words: str) -> None:
    with receiver(lambda data: back) as odd, pytest.raises(OutputError, match=words):
        run(feed(tmp_path), odd.port, tmp_path, retries=0)


def test_a_connection_that_breaks_is_made_anew(tmp_path: Path) -> None:
    calls = []

    def talk(data: bytes) -> bytes | None:
        calls.append(data)
        return None if len(calls) == 3 else taken(data)

    with receiver(talk) as weak:
        sent, pauses = run(feed(tmp_path), weak.port, tmp_path)
    assert sum(sent.acknowledged.values()) == N and pauses == [0.5]
    assert [one.split(b"|")[9] for one in weak.got] == [b"1", b"2", b"3", b"3", b"4", b"5", b"6"]  # same number again


# ---------------------------------------------------------------------- going on
def test_a_feed_that_was_broken_off_goes_on_without_sending_twice(tmp_path: Path) -> None:
    path, calls = feed(tmp_path), []

    def talk(data: bytes) -> bytes | None:
        calls.append(data)
        return None if len(calls) in {4, 5} else taken(data)

    with receiver(talk) as weak:
        with pytest.raises(OutputError, match="message 4"):
            run(path, weak.port, tmp_path, retries=1)
        with (tmp_path / "state").open("a") as state:
            state.write("0 99")  # a line that was cut off while it was written
        sent, _ = run(path, weak.port, tmp_path)
    taken_ones = [one.split(b"|")[9] for one in weak.got[:3] + weak.got[5:]]
    assert sent.before == 3 and taken_ones == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_all_is_sent_then_nothing_is_sent(tmp_path: Path) -> None:
    path = feed(tmp_path)
    with receiver(taken) as good:
        run(path, good.port, tmp_path)
        sent, _ = run(path, good.port, tmp_path)
    assert len(good.got) == N and sent.before == N and not sent.acknowledged


def test_the_state_of_another_feed_is_refused(tmp_path: Path) -> None:
    path = feed(tmp_path)
    State(tmp_path / "state", [path], "here:1").begin()
    with pytest.raises(SourceError, match="another receiver"):
        State(tmp_path / "state", [path], "there:1").read()
    feed(tmp_path, N + 1)
    with pytest.raises(SourceError, match="other files"):
        State(tmp_path / "state", [path], "here:1").read()
    (tmp_path / "state").write_bytes(b"\xff\x00")
    with pytest.raises(SourceError, match="damaged"):
        State(tmp_path / "state", [path], "here:1").read()


def test_rate_spaces_the_messages(tmp_path: Path) -> None:
    with receiver(taken) as good:
        _, pauses = run(feed(tmp_path), good.port, tmp_path, rate=1.0)
    assert len(pauses) == N - 1 and all(0 < pause <= k for k, pause in enumerate(pauses, 1))


def test_every_answer_is_told(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def told(message: Message, code: str) -> None:
        seen.append((message.number, code))

    with receiver(taken) as good:
        run(feed(tmp_path), good.port, tmp_path, told=told)
    assert seen == [(number, "AA") for number in range(1, N + 1)]


# ---------------------------------------------------------------------- TLS
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_an_encrypted_connection_is_made_to_whom_one_trusts(tmp_path: Path, certificate: Path) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate)
    with receiver(taken, own) as closed:
        sent, _ = run(feed(tmp_path), closed.port, tmp_path, tls=context(certificate))
        assert sum(sent.acknowledged.values()) == N
        (tmp_path / "state").unlink()
        with pytest.raises(OutputError, match=r"certificate is not trusted.*after one try"):
            run(feed(tmp_path), closed.port, tmp_path, tls=context())
    (tmp_path / "state").unlink()
    with receiver(taken) as plain, pytest.raises(OutputError, match=r"encrypted connection|does not answer|closed"):
        run(feed(tmp_path), plain.port, tmp_path, tls=context(certificate), timeout=0.3, retries=0)
    with pytest.raises(SourceError, match="PEM file"):
        context(feed(tmp_path))
