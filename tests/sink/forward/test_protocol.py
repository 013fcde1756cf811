"""`sink.forward.protocol`: what is sent, byte for byte, and what is made of what arrives."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from typing import Any

import msgpack
import pytest
from fluent.sender import EventTime
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.errors import HandshakeRefused, PluginError, ServerProtocolViolation, WrongAck
from fluent_plugin_amp.sink.forward.protocol import (
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    PROBE_RECORD,
    ClientProtocol,
    encode_chunk,
    entry,
    make_probe,
)
from fluent_plugin_amp.sink.forward.settings import Security
from fluent_plugin_amp.testing.hostile_forward import HostileWords, hostile_words
from fluent_plugin_amp.testing.reactions import Answer

SALT = "00112233445566778899aabbccddeeff"
NONCE = bytes(range(0x80, 0x90))  # not UTF-8, as from both servers
AUTH = bytes(range(0xF0, 0x100))
SECURITY = Security("amp.example", "secret key", "amp", "secret password")
MAX_UINT64 = 2**64 - 1

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), MAX_UINT64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


def sha512(*parts: bytes | str) -> str:
    """The digest as the specification writes it."""
    return hashlib.sha512(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)).hexdigest()


def pack(message: Any, *, raw: bool = True) -> bytes:
    """Pack as Fluentd does: binary data as msgpack str."""
    packed: bytes = msgpack.packb(message, use_bin_type=not raw)
    return packed


def helo(**options: Any) -> bytes:
    """A HELO as Fluentd sends it."""
    return pack(["HELO", {"nonce": NONCE, "auth": AUTH, "keepalive": True, **options}])


def pong(ok: bool = True, reason: str = "", hostname: str = "fluentd.example", key: str = "secret key") -> bytes:
    """A PONG as Fluentd sends it."""
    digest = sha512(SALT, hostname, NONCE, key) if ok else ""
    return pack(["PONG", ok, reason, hostname if ok else "", digest])


def shaken() -> ClientProtocol:
    """A protocol with the handshake behind it."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(helo())
    protocol.data_to_send()
    protocol.receive(pong())
    return protocol


# --- what is sent --------------------------------------------------------------------------------


def test_an_entry_has_these_bytes() -> None:
    """Golden: array of two, EventTime as fixext8 of type 0, map."""
    assert entry(0x65A0_BC00, 0x3B9A_C9FF, {"a": 1}) == bytes.fromhex("92 d700 65a0bc00 3b9ac9ff 81 a161 01")


@given(st.integers(0, 2**32 - 1), st.integers(0, 999_999_999), st.dictionaries(st.text(), json_values))
def test_an_entry_equals_what_fluent_logger_packs(seconds: int, nanoseconds: int, record: dict[str, Any]) -> None:
    """The quick way of packing gives the bytes that fluent-logger's EventTime gives."""
    assert entry(seconds, nanoseconds, record) == msgpack.packb([EventTime(seconds, nanoseconds), record])


def test_an_entry_after_a_failed_one_is_whole() -> None:
    """The reused packer keeps nothing of a record that it could not pack."""
    with pytest.raises(OverflowError):
        entry(1, 2, {"first": "x" * 1000, "n": 2**64})
    with pytest.raises(ValueError, match=r"."):
        entry(1, 2, {"first": 1, "half": "\ud800"})
    assert entry(1, 2, {"n": 2**64 - 1}) == msgpack.packb([EventTime(1, 2), {"n": 2**64 - 1}])


def test_too_deep_a_record_is_a_recursion_error() -> None:
    """What the packer calls too deep is told apart from other errors."""
    record: dict[str, Any] = {}
    for _ in range(2000):
        record = {"in": record}
    with pytest.raises(RecursionError):
        entry(1, 2, record)


def test_a_chunk_has_these_bytes(make_chunk: Any) -> None:
    """Golden: PackedForward with size and chunk id."""
    chunk = make_chunk(entries=[b"\x92\x01\x80", b"\x92\x02\x80"], chunk_id="aWQ=", tag="t.g")
    assert encode_chunk(chunk, "none") == bytes.fromhex(
        "93 a3742e67 c406 920180 920280 82 a473697a65 02 a56368756e6b a461 57 51 3d"
    )


def test_a_compressed_chunk_says_so_and_unpacks_to_the_same(make_chunk: Any) -> None:
    """With gzip the option carries "compressed", and the size stays the number of events."""
    chunk = make_chunk(100)
    tag, entries, option = msgpack.unpackb(encode_chunk(chunk, "gzip"))
    assert tag == chunk.tag
    assert gzip.decompress(entries) == b"".join(chunk.entries)
    assert option == {"size": 100, "chunk": chunk.id, "compressed": "gzip"}


def test_the_ping_has_digests_as_the_specification_says_and_only_text() -> None:
    """Golden in meaning: every field, in order, all msgpack str (Fluent Bit closes on bin)."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(helo())
    sent = protocol.data_to_send()
    assert msgpack.unpackb(sent, raw=False) == [
        "PING",
        "amp.example",
        SALT,
        sha512(SALT, "amp.example", NONCE, "secret key"),
        "amp",
        sha512(AUTH, "amp", "secret password"),
    ]
    assert len(sent) <= 1023, "Fluent Bit reads the PING in one go"
    assert protocol.data_to_send() == b"", "it is sent once"


@pytest.mark.parametrize("message", [helo(auth=""), pack(["HELO", {"nonce": NONCE}])], ids=["empty", "absent"])
def test_without_an_auth_salt_no_user_is_sent(message: bytes) -> None:
    """User and password digest are empty when the server does not ask for them."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(message)
    assert msgpack.unpackb(protocol.data_to_send())[4:] == ["", ""]


# --- what arrives --------------------------------------------------------------------------------


def test_without_security_a_connection_is_ready_at_once() -> None:
    """No HELO is waited for."""
    assert ClientProtocol(None, SALT).ready


def test_the_handshake_leads_to_ready() -> None:
    """HELO, PING, PONG, and acks from then on."""
    protocol = ClientProtocol(SECURITY, SALT)
    assert not protocol.ready
    assert protocol.receive(helo()) == []
    assert not protocol.ready
    assert protocol.receive(pong()) == []
    assert protocol.ready
    assert protocol.receive(pack({"ack": "aWQ="})) == ["aWQ="]


@pytest.mark.parametrize("raw", [True, False], ids=["str", "bin"])
@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_messages_may_be_split_anywhere(cut: int, raw: bool) -> None:
    """The same comes out however the bytes are cut, with binary data as str or as bin."""
    protocol = ClientProtocol(SECURITY, SALT)
    stream = pack(["HELO", {"nonce": NONCE, "auth": AUTH}], raw=raw)
    acks = pack({"ack": "one"}) + pack({"ack": "two"})
    for data in (stream, pong() + acks):
        got: list[str] = []
        for start in range(0, len(data), cut):
            got += protocol.receive(data[start : start + cut])
    assert got == ["one", "two"]
    assert protocol.ready


def test_acks_split_at_each_byte() -> None:
    """Two acks and the start of a third: two are told, the third when it is whole."""
    data = pack({"ack": "b25l"}) + pack({"ack": "dHdv"}) + pack({"ack": "dGhyZWU="})
    for first in range(len(data) + 1):
        protocol = ClientProtocol(None, SALT)
        assert protocol.receive(data[:first]) + protocol.receive(data[first:]) == ["b25l", "dHdv", "dGhyZWU="]


@pytest.mark.parametrize(
    "message",
    [
        pack({"ack": "x"}),
        pack(["HELO"]),
        pack(["HELO", {}]),
        pack(["HELO", {"nonce": 5}]),
        pack(["HELO", {"nonce": NONCE, "auth": 7}]),
        pack(["HELO", {"nonce": NONCE}, 1]),
        pack(["EHLO", {"nonce": NONCE}]),
        pack("HELO"),
        pack(["HELO", {1: 2}]),
        b"\xc1",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",  # a TLS alert
        b"\xdc\xff\xff" + bytes(40),
    ],
)
def test_a_malformed_helo_is_refused(message: bytes) -> None:
    """Whatever is no HELO ends the handshake."""
    protocol = ClientProtocol(SECURITY, SALT)
    with pytest.raises((HandshakeRefused, ServerProtocolViolation)):
        # Some are wrong only in what follows: let the server go on talking.
        protocol.receive(message + b"\xc1" * 100)
    assert not protocol.ready
    assert protocol.data_to_send() == b""


@pytest.mark.parametrize(
    "message",
    [
        pong(key="another key"),
        pong(hostname="amp.example"),
        pong(ok=False, reason="shared_key mismatch"),
        pack(["PONG", True, "", "fluentd.example"]),
        pack(["PONG", True, "", "fluentd.example", ""]),
        pack(["PONG", 1, "", "fluentd.example", sha512(SALT, "fluentd.example", NONCE, "secret key")]),
        pack(["PONG", True, None, "fluentd.example", sha512(SALT, "fluentd.example", NONCE, "secret key")]),
        pack({"ack": "x"}),
        helo(),
    ],
)
def test_a_pong_that_does_not_prove_the_key_is_refused(message: bytes) -> None:
    """Refusals, wrong digests, our own host name and malformed messages end the handshake."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(helo())
    with pytest.raises(HandshakeRefused):
        protocol.receive(message)
    assert not protocol.ready


def test_the_servers_reason_is_told_and_no_secret() -> None:
    """The error says what the server said; neither key nor password are in it, or in the repr of the settings."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(helo())
    with pytest.raises(HandshakeRefused, match="username/password mismatch") as caught:
        protocol.receive(pong(ok=False, reason="username/password mismatch"))
    for shown in (str(caught.value), repr(SECURITY)):
        assert "secret" not in shown


def test_a_shared_key_is_enough_for_a_server_without_users() -> None:
    """Fluentd asks for a user even when it has none: an empty one is answered, and taken."""
    protocol = ClientProtocol(Security("amp.example", "secret key"), SALT)
    protocol.receive(helo())
    ping = msgpack.unpackb(protocol.data_to_send())
    assert ping[4:] == ["", sha512(AUTH)]
    protocol.receive(pong())
    assert protocol.ready


def test_a_server_that_wants_a_user_needs_one() -> None:
    """Without a configured user name the refusal says what is missing."""
    protocol = ClientProtocol(Security("amp.example", "secret key"), SALT)
    protocol.receive(helo())
    with pytest.raises(HandshakeRefused, match="username/password mismatch") as caught:
        protocol.receive(pong(ok=False, reason="username/password mismatch"))
    assert "forward.security.username" in caught.value.remedy


def test_a_helo_where_none_is_configured_is_explained() -> None:
    """A server with a <security> section, met without one, is told apart from garbage."""
    with pytest.raises(HandshakeRefused, match="HELO"):
        ClientProtocol(None, SALT).receive(helo())


@pytest.mark.parametrize(
    "message",
    [
        pack({}),
        pack({"ack": 1}),
        pack({"ack": None}),
        pack({"nack": "x"}),
        pack(["ack", "x"]),
        pack("ack"),
        pack(None),
        helo(),
        b"\xd4\x05\x00",
        b"-ERR unknown command\r\n",
    ],
)
def test_what_is_no_ack_is_a_wrong_ack(message: bytes) -> None:
    """After the handshake anything but an ack ends the connection, and it stays failed."""
    protocol = shaken()
    with pytest.raises(WrongAck) as first:
        protocol.receive(message)
    assert not protocol.ready
    with pytest.raises(WrongAck) as again:
        protocol.receive(pack({"ack": "x"}))
    assert again.value is first.value


@pytest.mark.parametrize("data", [b"\xc1", pack({7: 7}), b"\x81\x80\xc0", b"\xd6\xff" + bytes(4) + b"\xd4\xff\x00"])
def test_what_is_no_message_is_a_violation(data: bytes) -> None:
    """Bytes that are no msgpack, or none that the protocol has, end the connection, and it stays failed."""
    protocol = shaken()
    with pytest.raises((ServerProtocolViolation, WrongAck)) as first:
        protocol.receive(data)
    with pytest.raises(type(first.value)) as again:
        protocol.receive(pack({"ack": "x"}))
    assert again.value is first.value


# --- what must not be held, or not be believed ---------------------------------------------------


def held_until_refused(protocol: ClientProtocol, first: bytes, again: bytes, most: int = 1 << 20) -> int:
    """Feed it; how many bytes it held at most before it gave up, which it does before ``most`` arrived."""
    held, received = 0, 0
    for piece in itertools.chain([first], itertools.repeat(again)):
        try:
            protocol.receive(piece)
        except ServerProtocolViolation:
            break
        held = max(held, protocol.incomplete_bytes)
        received += len(piece)
        assert received < most
    return held


@pytest.mark.parametrize("secured", [False, True], ids=["for an ack", "for HELO"])
@pytest.mark.parametrize("piece", [1, 100, 2000])
@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"\xdb\x00\x00\x0f\xff", b"x"),
        (b"\xdb\xff\xff\xff\xff", b"x"),
        (b"\xc6\xff\xff\xff\xff", b"x"),
        (b"\xc9\xff\xff\xff\xff\x05", b"x"),
        (b"\xdd\xff\xff\xff\xff", b"\xc0"),
        (b"\xdf\xff\xff\xff\xff", b"\xa0"),
        (b"", b"\x91"),
        (b"", b"\x81\xa0"),
        (b"", b"\x9f\xc0"),
    ],
)
def test_an_endless_message_is_not_collected(first: bytes, again: bytes, piece: int, secured: bool) -> None:
    """Whatever it is made of, and however it is cut, it is given up while little of it is held."""
    if first[:5] == b"\xdb\x00\x00\x0f\xff":  # a text that may be so long, in an array that goes on
        first, again = b"\x9f" + first, b"x" * 0xFFF + b"\xda\x0f\xff"
    else:
        again *= piece
    protocol = ClientProtocol(SECURITY if secured else None, SALT)
    assert held_until_refused(protocol, first, again) <= MAX_MESSAGE_BYTES


def test_a_message_is_as_large_as_a_handshake_needs() -> None:
    """A PONG with a long reason and the longest host name is read; one item more than needed is not."""
    protocol = ClientProtocol(SECURITY, SALT)
    protocol.receive(helo(**{f"option {number}": "x" * 100 for number in range(MAX_ITEMS - 3)}))
    with pytest.raises(HandshakeRefused, match="no room"):
        protocol.receive(pong(ok=False, reason="no room" + "." * 2000))
    with pytest.raises(ServerProtocolViolation):
        ClientProtocol(SECURITY, SALT).receive(helo(**{f"option {number}": 1 for number in range(MAX_ITEMS)}))


def test_as_many_acks_as_may_be_in_flight_are_read_at_once() -> None:
    """64 servers' chunks at most are in flight on one connection; a hundred acks in one piece are no violation."""
    acks = [f"{number:024}" for number in range(100)]
    assert ClientProtocol(None, SALT).receive(b"".join(pack({"ack": ack}) for ack in acks)) == acks


@pytest.mark.parametrize("words", [each for each in hostile_words() if isinstance(each.talk, Answer)], ids=str)
@pytest.mark.parametrize("secured", [False, True], ids=["for an ack", "for HELO"])
def test_hostile_words_end_the_connection_or_are_an_ack_of_nothing(words: HostileWords, secured: bool) -> None:
    """Whole or byte by byte, with the same error."""
    assert isinstance(words.talk, Answer)
    outcomes = []
    for size in (len(words.talk.data), 1):
        protocol = ClientProtocol(SECURITY if secured else None, SALT)
        outcomes.append(fed(protocol, words.talk.data, [size] * len(words.talk.data)))
        assert protocol.incomplete_bytes <= MAX_MESSAGE_BYTES or not protocol.ready
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] == (["bm90LXdoYXQteW91LXNlbnQ="], None) or outcomes[0][1] or words.name == "a HELO"


def fed(protocol: ClientProtocol, stream: bytes, sizes: list[int]) -> tuple[list[str], type[PluginError] | None]:
    """The acks and the end of a stream that arrives in pieces of these sizes, the rest in one."""
    acks: list[str] = []
    start = 0
    for size in [*sizes, len(stream)]:
        try:
            acks += protocol.receive(stream[start : start + size])
        except PluginError as error:
            assert not protocol.ready
            return [], type(error)
        start += size
    return acks, None


messages = json_values | st.binary(max_size=40) | st.builds(lambda ack: {"ack": ack}, st.text(max_size=30))
streams = st.lists(messages.map(msgpack.packb) | st.binary(max_size=12), max_size=6).map(b"".join)


@given(streams, st.lists(st.integers(0, 40), max_size=20), st.booleans())
def test_how_a_stream_is_cut_changes_nothing(stream: bytes, sizes: list[int], secured: bool) -> None:
    """Valid and invalid messages one after the other: the same acks, or the same kind of error."""
    security = SECURITY if secured else None
    whole = fed(ClientProtocol(security, SALT), stream, [])
    assert fed(ClientProtocol(security, SALT), stream, sizes) == whole
    assert fed(ClientProtocol(security, SALT), stream, [1] * len(stream)) == whole


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_no_bytes_raise_anything_foreign(pieces: list[bytes], secured: bool) -> None:
    """Whatever arrives, acks come out or an error of our own."""
    protocol = ClientProtocol(SECURITY if secured else None, SALT)
    for piece in pieces:
        try:
            assert all(isinstance(ack, str) for ack in protocol.receive(piece))
        except PluginError:
            assert not protocol.ready


def test_an_ack_is_compared_exactly() -> None:
    """An id of foreign bytes comes out as text that equals no id of ours."""
    assert ClientProtocol(None, SALT).receive(pack({"ack": b"\xff\xfe"})) == ["\\xff\\xfe"]


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_probe_is_as_large_as_asked_for(size: int) -> None:
    """It says what it is; what fills it up stands in a field of its own."""
    chunk = make_probe("t", "id", 1_000_000_005, noise="7" * size)
    (packed,) = chunk.entries
    _, record = msgpack.unpackb(packed)
    assert size <= len(packed) <= max(size + 20, 200)
    assert {**record, "padding": ""} == {**PROBE_RECORD, "padding": ""}
