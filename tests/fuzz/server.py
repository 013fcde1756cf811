"""The hostile Forward server, in a process of its own: ``python -m tests.fuzz.server --seed 1 --ids FILE``.

For each chunk it draws what to answer: mostly nothing that a server should say.  Now and then it takes one as a good
server would; then its events are in FILE before the ack is written, so that the books can be held.  Every other
answer carries no id that the client waits for: what it was sent must arrive elsewhere.

A connection's `random.Random` is made of the seed and its number.  On standard output first a line of JSON with the
port, at the end one with what was done.  It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import click
import msgpack

from fluent_plugin_amp.testing.fluentd_process import id_line
from fluent_plugin_amp.testing.forward import (
    Handshake,
    Message,
    Security,
    Violation,
    decode_entries,
    decode_message,
    make_unpacker,
    pack_ack,
)
from fluent_plugin_amp.testing.ports import free_port
from tests.fuzz.mutate import mutate

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""As many servers as a client can be told of."""
ENDLESS_BYTES = 24 << 20
FORGED = "no\r\n2026-01-01 00:00:00 ERROR forged \x1b[2J‮"
READ_BYTES = 65_536


class Server:
    """Listens, and does harm."""

    def __init__(self, seed: int, security: Security, ids: Path) -> None:
        self.connections = 0
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self._seed = seed
        self._security = security
        self._ids = ids.open("ab", buffering=0)

    async def start(self) -> int:
        """Listen; the port."""
        port = free_port()
        self._server = await asyncio.start_server(self._serve, HOSTS, port)
        return port

    def record(self, message: Message) -> None:
        """Write the events of a chunk that is about to be acknowledged."""
        entries = decode_entries(message)
        self._ids.write(b"".join(id_line(message, entry.time, entry.record) for entry in entries))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, Random(f"{self._seed}/server/{self.connections}"), reader, writer)
        with contextlib.suppress(OSError, _Enough):
            await connection.live(Handshake(self._security))
        writer.transport.abort()


class _Enough(Exception):
    """The connection is over."""


class _Connection:
    def __init__(
        self, server: Server, random: Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._random = random
        self._reader, self._writer = reader, writer
        self._unpacker = make_unpacker()
        self._answers: tuple[tuple[int, Callable[[Message], Any]], ...] = (
            *((20, self.ack), (10, self.ack_in_bytes), (6, self.no_ack), (6, self.wrong_id), (6, self.mutated)),
            *((4, self.odd_message), (3, self.close), (2, self.noise), (1, self.endless), (2, self.huge_header)),
            *((2, self.deep), (2, self.half), (2, self.many), (1, self.later)),
        )

    async def live(self, handshake: Handshake) -> None:
        """Shake hands, more or less, and answer chunk after chunk."""
        await self._greet(handshake)
        while True:
            message = await self._next_message()
            try:
                decoded = decode_message(message)
            except Violation as exc:
                self._server.violations.append(str(exc))
                raise _Enough from exc
            weights = [weight for weight, _ in self._answers]
            answer = self._random.choices([answer for _, answer in self._answers], weights)[0]
            self._server.done[answer.__name__] += 1
            await answer(decoded)

    async def _greet(self, handshake: Handshake) -> None:
        random = self._random
        helo = handshake.helo()
        match random.randrange(20):
            case 0:
                await self._send(mutate(random, helo))
            case 1:
                await self._send(random.choice((b"", b"\xc1", b"HTTP/1.0 200 OK\r\n\r\n", bytes(100))))
            case 2:
                options: Any = random.choice(
                    ({}, [], None, {"nonce": 7}, {"nonce": "x", "auth": {}}, {"nonce": "y" * 99_999})
                )
                await self._send(_pack(["HELO", options]))
            case 3:
                await self._pieces(helo)
            case 4:
                await self._zeros(_pack(["HELO"])[:-5])
            case _:
                await self._send(helo)
        ping = await self._next_message()
        pong, refusal = handshake.answer(ping, wrong_digest=random.random() < 0.05)
        match random.randrange(20):
            case 0:
                await self._send(mutate(random, pong))
            case 1:
                await self._send(_pack(["PONG", random.choice((False, None, 7, "x")), FORGED, FORGED, ""]))
            case 2:
                await self._send(_pack(["PONG", False, "x" * 200_000, "", ""]))
            case 3:
                await self._pieces(pong)
            case _:
                await self._send(pong)
        if refusal:
            raise _Enough

    # --- what becomes of a chunk -----------------------------------------------------------------

    async def ack(self, message: Message) -> None:
        """As it should be."""
        self._server.record(message)
        await self._send(pack_ack(message.chunk))

    async def ack_in_bytes(self, message: Message) -> None:
        """The same, a byte at a time."""
        self._server.record(message)
        await self._pieces(pack_ack(message.chunk))

    async def no_ack(self, message: Message) -> None:
        """None at all."""

    async def wrong_id(self, message: Message) -> None:
        """Somebody else's ack."""
        await self._send(pack_ack(self._not_it(message)))

    async def mutated(self, message: Message) -> None:
        """Nearly an ack."""
        await self._send(mutate(self._random, pack_ack(self._not_it(message))))

    async def odd_message(self, message: Message) -> None:
        """Well-formed, and no ack."""
        odd: tuple[Any, ...] = (
            *(None, True, 0, 2**64 - 1, -1, 0.5, "", "ack", [], {}, [[]], ["HELO", {}], {"ack": None}, {"ack": 7}),
            *({"ack": []}, {"ack": {}}, {"ack": b"x"}, {"nak": "x"}, {7: 7}, {"ack": "x" * 100_000}, {"": ""}),
            *({"ack": self._not_it(message), "more": [{}] * 50}, msgpack.Timestamp(1), msgpack.ExtType(5, b"x")),
        )
        await self._send(_pack(self._random.choice(odd)))

    async def close(self, message: Message) -> None:
        """The end, without an ack."""
        raise _Enough

    async def noise(self, message: Message) -> None:
        """No msgpack."""
        await self._send(b"\xc1" + self._random.randbytes(self._random.choice((1, 100, 10_000))))

    async def endless(self, message: Message) -> None:
        """One message without an end."""
        await self._zeros(
            self._random.choice(
                (b"\xdb\x7f\xff\xff\xff", b"\xdd\x7f\xff\xff\xff", b"\x81\xa3ack\xdb\x7f\xff\xff\xff")
            )
        )

    async def huge_header(self, message: Message) -> None:
        """An array or map that says to have billions of items."""
        head = self._random.choice(
            (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdf\x00\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x05")
        )
        await self._send(head + self._random.randbytes(100))

    async def deep(self, message: Message) -> None:
        """Lists in lists."""
        await self._send(b"\x91" * self._random.choice((100, 600, 5_000, 200_000)) + b"\xc0")

    async def half(self, message: Message) -> None:
        """An ack that breaks off."""
        ack = pack_ack(self._not_it(message))
        await self._send(ack[: self._random.randrange(len(ack))])
        await asyncio.sleep(self._random.random())
        raise _Enough

    async def many(self, message: Message) -> None:
        """The same wrong ack thousands of times."""
        await self._send(pack_ack(self._not_it(message)) * 5_000)

    async def later(self, message: Message) -> None:
        """An ack after the client gave up, of a chunk that it may have sent elsewhere: it is not to count twice."""
        self._server.record(message)
        await asyncio.sleep(self._random.random() * 4.0)
        await self._send(pack_ack(message.chunk))

    # --- how -------------------------------------------------------------------------------------

    def _not_it(self, message: Message) -> str:
        """An id that the client does not wait for, however it is mutated."""
        return (message.chunk or "")[:10] + "!" * 14

    async def _next_message(self) -> Any:
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                pass
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise _Enough
            self._unpacker.feed(data)

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _pieces(self, data: bytes) -> None:
        for byte in data:
            await self._send(bytes([byte]))
            await asyncio.sleep(0)

    async def _zeros(self, head: bytes) -> None:
        await self._send(head)
        for _ in range(ENDLESS_BYTES >> 20):
            await self._send(bytes(1 << 20))


def _pack(message: Any) -> bytes:
    return bytes(msgpack.packb(message))


async def serve(seed: int, security: Security, ids: Path) -> None:
    """Until the end of standard input."""
    server = Server(seed, security, ids)
    print(json.dumps({"port": await server.start()}), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(
        sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set()
    )
    await ended.wait()
    figures = {"connections": server.connections, "moves": server.done, "violations": server.violations}
    print(json.dumps(figures), flush=True)


@click.command()
@click.option("--seed", type=int, required=True)
@click.option("--shared-key", required=True)
@click.option("--ids", type=Path, required=True, help="Append each event of a chunk that is acknowledged.")
def main(seed: int, shared_key: str, ids: Path) -> None:
    """Serve until the end of standard input."""
    asyncio.run(serve(seed, Security(shared_key), ids))


if __name__ == "__main__":
    main()
