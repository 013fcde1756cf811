"""The server's side of the Forward protocol: what it takes, and what it refuses and why."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.testing.forward import (
    DEEPEST,
    Entry,
    EventTime,
    Handshake,
    Security,
    Violation,
    decode_entries,
    decode_message,
    gunzip,
    make_unpacker,
    pack_ack,
)

TIME = bytes.fromhex("d7005ef4768024e539c0")
"""EventTime of 1593079424 s and 619002304 ns."""
EVENT_TIME = EventTime(1593079424, 619002304)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
RECORDS = st.dictionaries(st.text(), VALUES)


def entry(record: object, time: bytes = TIME) -> bytes:
    """One packed entry."""
    return b"\x92" + time + bytes(msgpack.packb(record))


def receive(data: bytes) -> list[Entry]:
    """What a server makes of the bytes of one message."""
    unpacker = make_unpacker()
    unpacker.feed(data)
    return decode_entries(decode_message(unpacker.unpack()))


def pack(*parts: object, **options: Any) -> bytes:
    """A message of these parts."""
    return bytes(msgpack.packb(parts, **options))


@settings(max_examples=50)
@given(RECORDS)
def test_all_modes_carry_records_unchanged(record: dict[str, Any]) -> None:
    """Message, Forward and PackedForward, as str or bin, compressed or not: the same entry comes out."""
    one = entry(record)
    packed = one * 2
    expected = [Entry(EVENT_TIME, record)] * 2
    tag = msgpack.packb("tag")
    assert receive(b"\x93" + tag + one[1:]) == expected[:1]
    assert receive(b"\x92" + tag + b"\x92" + packed) == expected
    assert receive(pack("tag", packed)) == expected
    assert receive(pack(b"tag", packed, use_bin_type=False)) == expected
    assert receive(pack("tag", packed, {"size": 2, "compressed": "text"})) == expected
    assert receive(pack("tag", gzip.compress(packed), {"compressed": "gzip"})) == expected
    members = gzip.compress(one) + gzip.compress(one)
    assert receive(pack("tag", members, {"compressed": "gzip"})) == expected


def test_integers_and_time_are_exact() -> None:
    """Beyond 2^53, at both ends of 64 bits, and to the nanosecond."""
    record = {"id": 6533241145273614340, "top": 2**64 - 1, "bottom": -(2**63)}
    [received] = receive(pack("tag", entry(record)))
    assert received.record == record
    assert received.time == EVENT_TIME


def test_the_option_is_read() -> None:
    """Size and chunk id as the client gave them."""
    message = decode_message(["tag", b"x", {"size": 7, "chunk": "aWQ="}])
    assert (message.tag, message.size, message.chunk) == ("tag", 7, "aWQ=")
    assert decode_message(["tag", b"x"]).chunk is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("no array", "array of 2 to 4"),
        (["tag"], "array of 2 to 4"),
        (["tag", 1, {}, {}, {}], "array of 2 to 4"),
        (["tag", b"x", {}, {}], "more after"),
        ([b"tag", b"x"], "a tag is"),
        ([None, b"x"], "a tag is"),
        (["", b"x"], "a tag is"),
        (["\udc80", b"x"], "a tag is"),
        (["tag", b"x", None], "option is a map"),
        (["tag", b"x", {"chunk": b"id"}], "chunk id is a str"),
        (["tag", b"x", {"chunk": 1}], "chunk id is a str"),
        (["tag", b"x", {"chunk": "\udcff"}], "chunk id is a str"),
        (["tag", b"x", {"size": "1"}], "size is an integer"),
        (["tag", b"x", {"size": True}], "size is an integer"),
        (["tag", b"x", {"compressed": "zstd"}], "compression"),
        (["tag", b"no gzip", {"compressed": "gzip"}], "corrupt gzip"),
        (["tag", gzip.compress(b"x")[:-9], {"compressed": "gzip"}], "ends too early"),
        (["tag", b""], "without entries"),
        (["tag", []], "without entries"),
        (["tag", gzip.compress(b""), {"compressed": "gzip"}], "without entries"),
        (["tag", 1.5, {}], "entries are"),
        (["tag", True, {}], "entries are"),
        (["tag", 1], "without a record"),
    ],
)
def test_a_bad_message_is_a_violation(message: object, reason: str) -> None:
    """Whatever one of the real servers would refuse, lose or hang on."""
    with pytest.raises(Violation, match=reason):
        decode_message(message)


def deep(levels: int) -> dict[str, Any]:
    """A record of so many nested maps."""
    record: dict[str, Any] = {}
    for _ in range(levels - 1):
        record = {"a": record}
    return record


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (entry({}) + entry({"a": 1})[:-1], "tail of 14 bytes"),
        (b"\xc1", "no msgpack"),
        (b"\x92" + TIME + b"\x81\x90\x01", "no msgpack"),
        (b"\x01", "an entry is"),
        (b"\x93" + TIME + b"\x80\x80", "an entry is"),
        (entry({}, b"\xc0"), "a time is"),
        (entry({}, b"\xff"), "a time is"),
        (entry({}, b"\xc3"), "a time is"),
        (entry({}, msgpack.packb(1.5)), "a time is"),
        (entry({}, b"\x92" + TIME + b"\x80"), "a time is"),
        (entry({}, bytes.fromhex("d7005ef476803b9aca00")), "1000000000 nanoseconds"),
        (entry(None), "a record is"),
        (entry([1]), "a record is"),
        (entry({"a": float("nan")}), "nan in a record"),
        (entry({"a": [{"b": float("-inf")}]}), "inf in a record"),
        (entry({"a": msgpack.ExtType(5, b"x")}), "unknown ext"),
        (entry({"a": msgpack.Timestamp(1)}), "unknown ext"),
        (entry({1: 2}), "key that is no str"),
        (b"\x92" + TIME + b"\x81\xa1a\xa1\xff", "not UTF-8"),
        (b"\x92" + TIME + b"\x81\xa1\xff\x01", "not UTF-8"),
        (entry(deep(DEEPEST + 1)), "deeper"),
    ],
)
def test_a_bad_entry_is_a_violation(packed: bytes, reason: str) -> None:
    """Real servers lose the rest of the chunk, or close the connection."""
    with pytest.raises(Violation, match=reason):
        receive(pack("tag", packed))


def test_what_servers_keep_is_taken() -> None:
    """As deep as Fluentd reads, an EventTime within a record, bytes, whole seconds as the time."""
    assert receive(pack("tag", entry(deep(DEEPEST))))[0].record == deep(DEEPEST)
    assert receive(pack("tag", entry({}, b"\x07"))) == [Entry(7, {})]
    assert receive(pack("tag", entry({"a": b"\0\xff"})))[0].record == {"a": b"\0\xff"}
    packed = b"\x92" + TIME + b"\x81\xa1a" + TIME
    assert receive(pack("tag", packed))[0].record == {"a": EVENT_TIME}


def test_the_size_must_be_true() -> None:
    """A client that miscounts is told."""
    with pytest.raises(Violation, match="size says 3, but there are 2"):
        receive(pack("tag", entry({}) * 2, {"size": 3}))


@given(st.lists(st.binary(), min_size=1))
def test_gzip_may_have_several_members(parts: list[bytes]) -> None:
    """They are joined, empty ones included."""
    assert gunzip(b"".join(map(gzip.compress, parts))) == b"".join(parts)


def test_an_ack_repeats_the_chunk_id() -> None:
    """Golden bytes."""
    assert pack_ack("aWQ=") == b"\x81\xa3ack\xa4aWQ="


# --- the handshake -------------------------------------------------------------------------------


def digest(*parts: bytes) -> str:
    """SHA-512 in lower-case hex, as both peers compute it."""
    return hashlib.sha512(b"".join(parts)).hexdigest()


def helo_of(handshake: Handshake) -> dict[bytes, Any]:
    """The options of HELO, decoded raw because nonce and salt are any bytes in a msgpack str."""
    greeting, options = msgpack.unpackb(handshake.helo(), raw=True)
    assert greeting == b"HELO"
    return dict(options)


def ping_for(
    helo: dict[bytes, Any],
    *,
    key: bytes = b"key",
    user: bytes = b"",
    password: bytes = b"",
    client: bytes = b"client",
) -> Any:
    """The PING of a client that knows this key and user, as the server decodes it."""
    salt = bytes(range(240, 256))
    fields = [b"PING", client, salt, digest(salt, client, helo[b"nonce"], key).encode(), user]
    fields.append(digest(helo[b"auth"], user, password).encode() if helo[b"auth"] else b"")
    unpacker = make_unpacker()
    unpacker.feed(bytes(msgpack.packb(fields, use_bin_type=False)))
    return unpacker.unpack()


@pytest.mark.parametrize("users", [{}, {"amp": "geheim ü"}])
def test_a_client_with_the_key_is_let_in(users: dict[str, str]) -> None:
    """The PONG proves that the server knows the key too."""
    handshake = Handshake(Security("key", users, "server"))
    helo = helo_of(handshake)
    assert (len(helo[b"nonce"]), len(helo[b"auth"])) == (16, 16 if users else 0)
    pong, refusal = handshake.answer(ping_for(helo, user=b"amp", password="geheim ü".encode()))
    assert refusal == ""
    expected = digest(bytes(range(240, 256)), b"server", helo[b"nonce"], b"key")
    assert msgpack.unpackb(pong) == ["PONG", True, "", "server", expected]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": b"other"}, "shared_key mismatch"),
        ({"client": b"server"}, "same hostname"),
        ({"user": b"nobody"}, "username/password mismatch"),
        ({"user": b"\xff"}, "username/password mismatch"),
        ({"password": b"wrong"}, "username/password mismatch"),
    ],
)
def test_a_wrong_ping_is_refused(changes: dict[str, bytes], reason: str) -> None:
    """PONG says no, why, and proves nothing."""
    handshake = Handshake(Security("key", {"amp": "password"}, "server"))
    ping = ping_for(helo_of(handshake), **{"user": b"amp", "password": b"password", **changes})
    pong, refusal = handshake.answer(ping)
    assert refusal.startswith(reason)
    assert msgpack.unpackb(pong) == ["PONG", False, refusal, "server", ""]


def test_a_server_may_lie_about_the_key() -> None:
    """A PONG that says yes with a digest that is not right."""
    handshake = Handshake(Security("key"))
    ping = ping_for(helo_of(handshake))
    honest, _ = handshake.answer(ping)
    lying, _ = handshake.answer(ping, wrong_digest=True)
    assert msgpack.unpackb(lying)[:4] == msgpack.unpackb(honest)[:4]
    assert msgpack.unpackb(lying)[4] != msgpack.unpackb(honest)[4]


@pytest.mark.parametrize(
    "message", [["tag", b"x"], ["PING", "a", b"salt", "b", "", ""], ["PING", "a", "salt", "b", ""], None]
)
def test_what_is_no_ping_is_a_violation(message: object) -> None:
    """Events before the handshake, a salt as bin, a part missing."""
    with pytest.raises(Violation, match="PING"):
        Handshake(Security("key")).answer(message)
