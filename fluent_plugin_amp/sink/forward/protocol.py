"""The Forward protocol, client side: bytes in, acks out; chunks in, bytes out.  Pure.

It follows the "Forward Protocol Specification v1.5" of the Fluentd wiki, as Fluentd and Fluent Bit implement it.
``entry`` packs one event, and ``encode_chunk`` a whole PackedForward message.  ``ClientProtocol`` reads what one
connection receives: with security, first HELO and PONG; then acks::

    security:  HELO ──▶ (PING to send) ──▶ PONG ──▶ ready
    none:      ready

Invariants: after an error a ``ClientProtocol`` stays failed.  Of an incomplete message it holds at most
``MAX_MESSAGE_BYTES``, and reserves no memory for sizes that the message announces.  Shared key and password leave it
only as digests.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
import zlib
from typing import Any

import msgpack
import msgspec

from fluent_plugin_amp.errors import HandshakeRefused, PluginError, ServerProtocolViolation, WrongAck
from fluent_plugin_amp.model import Chunk, Record
from fluent_plugin_amp.sink.forward.settings import Compress, Security

MAX_READ_BYTES = 64 * 1024
"""The most that may arrive at once.  The acks of all chunks that may be in flight have 2 KiB."""
MAX_MESSAGE_BYTES = 4 * 1024
"""The most of one message.  An ack has 33 bytes, a HELO 80, a PONG 150 plus its reason and a host name of at most
255.  A longer message, or a longer text in one, is a ``ServerProtocolViolation``."""
MAX_ITEMS = 16
"""The most items of one array or map: a PONG has five, the options of a HELO three.  More is a
``ServerProtocolViolation``."""

PROBE_RECORD: Record = {
    "fluent_plugin_amp": "probe",
    "message": "fluent-plugin-amp sent this to see whether the server takes anything under this tag: it is no event",
}

# Array of two, and the head of an EventTime: fixext8 of type 0, seconds and nanoseconds as uint32.
_ENTRY_HEAD = struct.Struct(">BBBII")
_PACKER = msgpack.Packer()  # `pack` starts afresh each time, after an error too: only its buffer is kept
_pack_record = msgspec.msgpack.Encoder().encode  # the same bytes, in half the time
_GZIP_WINDOW_BITS = 31
_GZIP_LEVEL = 1  # events are full of hashes and ids: the other levels gain 2 % for twice the time
_SHOWN_CHARS = 200
_SET_USER = "Set forward.security.username and password as in the server's <security> section."


def entry(seconds: int, nanoseconds: int, record: Record) -> bytes:
    """Pack one event: ``[EventTime, record]``.

    Raises what the packer raises: ``OverflowError`` for an integer outside -2^63 … 2^64-1, ``RecursionError`` for
    more nesting than it takes, ``UnicodeEncodeError`` for half a surrogate pair; ``struct.error`` unless
    ``seconds`` is in 0 … 2^32-1.
    """
    return _ENTRY_HEAD.pack(0x92, 0xD7, 0x00, seconds, nanoseconds) + _pack_record(record)


def encode_chunk(chunk: Chunk, compress: Compress) -> bytes:
    """Encode a PackedForward message that asks for an ack: ``[tag, entries, option]``."""
    entries = b"".join(chunk.entries)
    option: dict[str, int | str] = {"size": len(chunk.entries), "chunk": chunk.id}
    if compress == "gzip":
        compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
        entries = compressor.compress(entries) + compressor.flush()
        option["compressed"] = "gzip"
    message: bytes = _PACKER.pack([chunk.tag, entries, option])
    return message


def make_probe(tag: str, chunk_id: str, now_ns: int, noise: str) -> Chunk:
    """Make a chunk of one record of our own.  If a server takes it, the server is not full, and an event is
    poisonous.

    The record is filled up to the length of ``noise`` with characters of ``noise``, which should not compress.
    """
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    missing = len(noise) - len(entry(seconds, nanoseconds, PROBE_RECORD))
    record = {**PROBE_RECORD, "padding": noise[:missing]} if missing > 0 else PROBE_RECORD
    return Chunk(chunk_id, tag, [entry(seconds, nanoseconds, record)], [])


class _Expect(enum.Enum):
    HELO = "HELO"
    PONG = "PONG"
    ACK = "an ack"


class ClientProtocol:
    """Reads what one connection receives.  A new connection needs a new one, with its own salt.

    ``salt`` is 32 random hexadecimal digits: text, because Fluent Bit closes on a binary salt.
    """

    def __init__(self, security: Security | None, salt: str) -> None:
        self._security = security
        self._salt = salt
        self._nonce = b""
        self._expect = _Expect.ACK if security is None else _Expect.HELO
        self._to_send = b""
        self._error: PluginError | None = None
        self._received = self._complete = 0  # bytes in all, and up to the end of the last whole message
        # Raw, because HELO carries random bytes as msgpack str, which need not be UTF-8.
        self._unpacker = msgpack.Unpacker(
            raw=True,
            max_buffer_size=MAX_READ_BYTES,
            max_str_len=MAX_MESSAGE_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_ext_len=MAX_MESSAGE_BYTES,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )

    @property
    def ready(self) -> bool:
        """The handshake is done, or there is none: chunks may be written."""
        return self._expect is _Expect.ACK and self._error is None

    @property
    def expects(self) -> str:
        """What the server has to say next, in words."""
        return self._expect.value

    @property
    def incomplete_bytes(self) -> int:
        """How many bytes of a message that is not complete yet arrived."""
        return self._received - self._complete

    def receive(self, data: bytes) -> list[str]:
        """Take what arrived; return the chunk ids that it acks, in order.

        Raises ``HandshakeRefused`` for a handshake that the server refused or that does not fit, ``WrongAck`` for a
        later message that is no ack, and ``ServerProtocolViolation`` for bytes that are no message of the protocol.
        After that, each call raises the same error again.
        """
        if self._error is not None:
            raise self._error
        acks: list[str] = []
        unpacker = self._unpacker
        complete = self._complete
        try:
            unpacker.feed(data)
            for message in unpacker:
                complete = unpacker.tell()
                if self._expect is _Expect.HELO:
                    self._receive_helo(message)
                elif self._expect is _Expect.PONG:
                    self._receive_pong(message)
                else:
                    acks.append(self._receive_ack(message))
            self._received += len(data)
            self._complete = complete
            if self.incomplete_bytes > MAX_MESSAGE_BYTES:
                raise ServerProtocolViolation(
                    f"the server sent {self.incomplete_bytes} bytes and no end of them in place of {self.expects}"
                )
        except PluginError as error:
            self._error = error
            raise
        except (msgpack.UnpackException, ValueError) as exc:  # all that msgpack raises for bytes it cannot take
            self._error = ServerProtocolViolation(
                f"the server sent {len(data)} bytes that are no message ({type(exc).__name__}) "
                f"in place of {self.expects}"
            )
            raise self._error from exc
        return acks

    def data_to_send(self) -> bytes:
        """Return, once, what the handshake sends now: a PING or nothing."""
        data, self._to_send = self._to_send, b""
        return data

    def _receive_helo(self, message: Any) -> None:
        match message:
            case [b"HELO", {b"nonce": bytes(nonce), **options}]:
                auth = options.get(b"auth", b"")
            case _:
                raise self._unexpected(_shown(message))
        if not isinstance(auth, bytes):
            raise self._unexpected(_shown(message))
        self._nonce = nonce
        self._to_send = self._ping(self._required_security(), auth)
        self._expect = _Expect.PONG

    def _ping(self, security: Security, auth: bytes) -> bytes:
        hostname = security.self_hostname
        user, password_digest = "", ""
        if auth:  # Fluentd always sends it; a Fluentd without users accepts an empty user, too
            user = security.username
            password_digest = _digest(auth, user.encode(), security.password.encode())
        message: bytes = _PACKER.pack(
            ["PING", hostname, self._salt, self._key_digest(hostname.encode()), user, password_digest]
        )
        return message

    def _receive_pong(self, message: Any) -> None:
        match message:
            case [b"PONG", bool(ok), bytes(reason), bytes(server_hostname), bytes(digest)]:
                pass
            case _:
                raise self._unexpected(_shown(message))
        if not ok:
            needs_user = b"username" in reason and not self._required_security().username
            raise HandshakeRefused(
                f"the server refused: {_text(reason) or 'no reason given'}",
                remedy=_SET_USER if needs_user else None,
            )
        if server_hostname == self._required_security().self_hostname.encode():
            raise HandshakeRefused(
                f"the server has our own self_hostname, {_text(server_hostname)!r}",
                remedy="Give forward.security.self_hostname a name that differs from the server's.",
            )
        if not hmac.compare_digest(digest, self._key_digest(server_hostname).encode()):
            raise HandshakeRefused("the server does not know the shared key: its PONG has a wrong digest")
        self._expect = _Expect.ACK

    def _receive_ack(self, message: Any) -> str:
        match message:
            case {b"ack": bytes(chunk_id)}:
                return _text(chunk_id)
            case [b"HELO", *_] if self._security is None:
                raise HandshakeRefused(
                    "the server says HELO: it asks for a shared key or a user, and none is configured",
                    remedy="Set forward.security as in the server's <security> section.",
                )
            case _:
                raise self._unexpected(_shown(message))

    def _unexpected(self, what: str) -> PluginError:
        error = WrongAck if self._expect is _Expect.ACK else HandshakeRefused
        return error(f"the server sent {what} in place of {self.expects}")

    def _required_security(self) -> Security:
        assert self._security is not None  # HELO and PONG are expected only where it is configured
        return self._security

    def _key_digest(self, hostname: bytes) -> str:
        key = self._required_security().shared_key
        return _digest(self._salt.encode(), hostname, self._nonce, key.encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()


def _text(data: bytes) -> str:
    return data[:_SHOWN_CHARS].decode("utf-8", "backslashreplace")


def _shown(message: Any) -> str:
    """Name a foreign message for a log line, by its kind and its first word, without its content."""
    if isinstance(message, list) and message and isinstance(message[0], bytes):
        return f"a malformed {_text(message[0][:16])!r} message"
    return f"a message of type {type(message).__name__}"
