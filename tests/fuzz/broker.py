"""The hostile brokers, in a process of their own: ``python -m tests.fuzz.broker --seed 1 --real-port 5672``.

Two sources of frames, and before each a relay that mangles what the client gets:

* a broker that does nothing but harm: what it sends after a good handshake is drawn by the seed;
* a real RabbitMQ, whose frames are good, as they come.

A proxy, by CONNECT and SOCKS 5, leads to the first of them; half of its answers are spoilt.

Every connection has a `random.Random` of its own, made of the seed and its number: ``1/scripted/7`` repeats what the
seventh connection of seed 1 was sent.  On standard output first a line of JSON with the ports, at the end one with
what was done.  It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any

import click
from pika import spec

from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.hostile_broker import (
    Consumer,
    HostileBroker,
    body_frames,
    delivery_frames,
    header_frame,
    heartbeat_frame,
    method_frame,
    raw_frame,
)
from tests.fuzz.events import GarbageEvents, properties
from tests.fuzz.mutate import SIZES, mangle, mutate, split_frames

READ_BYTES = 65_536
CHANCES = (0.0, 0.0, 0.002, 0.02, 0.2)
"""How often a frame is spoilt, one of these for each connection."""
FRAMES_KEPT = 50
ENDLESS_BYTES = 24 << 20
PAUSE_S = 0.02
FORGED = "gone\r\n2026-01-01 00:00:00 ERROR forged \x1b[2J‮"


class Moves:
    """What is sent to one consumer, drawn by ``random``."""

    def __init__(self, random: Random, consumer: Consumer) -> None:
        self._random = random
        self._consumer = consumer
        self._tag = 0
        self._good = EventGenerator(random.getrandbits(32))
        self._garbage = GarbageEvents(random)
        self._all: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
            *((30, self.good), (20, self.garbage), (6, self.odd_tag), (4, self.wrong_size), (4, self.disorder)),
            *((4, self.method), (2, self.unknown_method), (1, self.noise), (1, self.endless), (2, self.silence)),
            *((2, self.byte_by_byte), (2, self.elsewhere), (1, self.reset), (3, self.heartbeats)),
        )

    async def play(self, done: Counter[str]) -> None:
        """One move after the other, until the client has gone."""
        while True:
            weights = [weight for weight, _ in self._all]
            move = self._random.choices([move for _, move in self._all], weights)[0]
            done[move.__name__] += 1
            await move()
            await asyncio.sleep(self._random.random() * PAUSE_S)

    def _next_tag(self) -> int:
        self._tag += 1
        return self._tag

    async def good(self) -> None:
        """Events, as they should be."""
        bodies = self._good.bodies(self._random.randint(1, 20))
        await self._consumer.send(*(self._consumer.delivery(self._next_tag(), body) for body in bodies))

    async def garbage(self) -> None:
        """Bodies and properties that are anything."""
        body = self._garbage.body()
        payload = bytes.fromhex("003c0000") + len(body).to_bytes(8, "big") + properties(self._random, broken=True)
        header = raw_frame(spec.FRAME_HEADER, self._consumer.channel, payload)
        await self._consumer.send(self._deliver(self._next_tag()), header, body_frames(body, self._consumer.channel))

    async def odd_tag(self) -> None:
        """A delivery tag that does not grow, or grows too much."""
        tag = self._random.choice((0, 1, self._tag, max(self._tag - 1, 0), self._tag + 1000, 2**63, 2**64 - 1))
        await self._consumer.send(self._consumer.delivery(tag, self._good.body()))

    async def wrong_size(self) -> None:
        """A body of another size than announced."""
        body = self._good.body()
        size = self._random.choice((*SIZES, len(body) - 1, len(body) + 1, 1 << 40, 2**64 - 1))
        await self._consumer.send(self._consumer.delivery(self._next_tag(), body, body_size=size))

    async def disorder(self) -> None:
        """Method, header and body, in any order and number."""
        channel, body = self._consumer.channel, self._good.body()
        parts = [
            self._deliver(self._next_tag()),
            header_frame(len(body), channel=channel),
            body_frames(body, channel),
        ]
        await self._consumer.send(*self._random.choices(parts, k=self._random.randint(1, 5)))

    async def method(self) -> None:
        """A method that nobody asked for."""
        random = self._random
        methods: tuple[Any, ...] = (
            *(spec.Basic.Cancel(self._consumer.tag), spec.Basic.CancelOk(self._consumer.tag), spec.Basic.Cancel("?")),
            *(spec.Basic.ConsumeOk(self._consumer.tag), spec.Basic.QosOk(), spec.Queue.DeclareOk("?", 2**32 - 1, 0)),
            *(spec.Basic.Ack(1, True), spec.Basic.Nack(0, True), spec.Basic.Return(312, FORGED, "", "")),
            *(spec.Basic.GetEmpty(), spec.Basic.GetOk(1, False, "", "", 0), spec.Channel.Flow(False)),
            *(spec.Channel.OpenOk(), spec.Channel.CloseOk(), spec.Channel.Close(406, FORGED, 60, 80)),
            *(spec.Connection.Blocked(FORGED), spec.Connection.Unblocked(), spec.Connection.Tune(1, 8, 1)),
            *(spec.Connection.Close(320, FORGED, 0, 0), spec.Connection.CloseOk(), spec.Connection.OpenOk()),
            *(spec.Connection.Start(server_properties={}), spec.Connection.Secure("x")),
        )
        channel = random.choice((0, self._consumer.channel))
        await self._consumer.send(method_frame(random.choice(methods), channel))

    async def unknown_method(self) -> None:
        """Class and method that there are not, or with other fields."""
        random = self._random
        ids = random.choice((0, 10, 20, 40, 50, 60, 85, 90, 65_535)), random.choice((0, 10, 11, 30, 60, 65_535))
        payload = b"".join(number.to_bytes(2, "big") for number in ids) + random.randbytes(random.randrange(40))
        await self._consumer.send(raw_frame(spec.FRAME_METHOD, self._consumer.channel, payload))

    async def noise(self) -> None:
        """No AMQP at all."""
        noise = self._random.choice((b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x00\x09\x01", bytes(4096)))
        await self._consumer.send(mutate(self._random, noise))

    async def endless(self) -> None:
        """A frame, or a body, that goes on and on."""
        zeros = bytes(1 << 20)
        if self._random.random() < 0.5:
            await self._consumer.send(raw_frame(spec.FRAME_BODY, self._consumer.channel, b"", size=0x7FFFFFFF)[:-1])
            pieces = [zeros] * (ENDLESS_BYTES // len(zeros))
        else:
            header = header_frame(1 << 40, channel=self._consumer.channel)
            await self._consumer.send(self._deliver(self._next_tag()), header)
            pieces = [body_frames(zeros, self._consumer.channel)] * (ENDLESS_BYTES // len(zeros))
        for piece in pieces:
            await self._consumer.send(piece)

    async def silence(self) -> None:
        """Nothing for a while."""
        await asyncio.sleep(self._random.random() * 2.0)

    async def byte_by_byte(self) -> None:
        """A delivery in as many pieces as it has bytes."""
        for byte in self._consumer.delivery(self._next_tag(), b'{"id":1}'):
            await self._consumer.send(bytes([byte]))
            await asyncio.sleep(0)

    async def elsewhere(self) -> None:
        """A delivery to a consumer or a channel that there is not."""
        body = self._good.body()
        if self._random.random() < 0.5:
            channel = self._random.choice((0, 2, 65_535))
            await self._consumer.send(self._consumer.delivery(self._next_tag(), body, channel=channel))
        else:
            tag = self._random.choice(("", "?", "x" * 255, FORGED[:50]))
            await self._consumer.send(delivery_frames(tag, self._next_tag(), body, channel=self._consumer.channel))

    async def heartbeats(self) -> None:
        """More of them than needed, on any channel."""
        beats = [heartbeat_frame(), raw_frame(spec.FRAME_HEARTBEAT, self._random.choice((0, 1)), b"x")]
        await self._consumer.send(*self._random.choices(beats, [9, 1], k=self._random.randint(1, 200)))

    async def reset(self) -> None:
        """Cut the connection."""
        self._consumer.reset()
        await self._consumer.gone()
        raise ConnectionResetError

    def _deliver(self, tag: int) -> bytes:
        deliver = spec.Basic.Deliver(self._consumer.tag, tag, False, "events_api_stream", "key")
        return method_frame(deliver, self._consumer.channel)


class Relay:
    """Forwards connections to a broker, and mangles what comes back."""

    def __init__(self, seed: str, target_port: int) -> None:
        self.connections = 0
        self._seed = seed
        self._target_port = target_port

    async def start(self) -> int:
        """Listen; the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        random = Random(f"{self._seed}/{self.connections}")
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            back = asyncio.create_task(_mangled(random, from_broker, writer))
            there = asyncio.create_task(_copied(reader, to_broker))
            await asyncio.wait({back, there}, return_when=asyncio.FIRST_COMPLETED)
            for task in (back, there):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task
        writer.transport.abort()
        to_broker.transport.abort()


class HostileProxy(CompanyProxy):
    """A proxy that answers as it should, or anything else."""

    def __init__(self, seed: str) -> None:
        super().__init__(username="fuzz", password="fuzz")
        self.answers: Counter[str] = Counter()
        self._random = Random(seed)

    async def say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        """The answer, or what became of it."""
        spoilt = self._random.choice(
            (
                self._answer_good,
                self._answer_good,
                self._answer_changed,
                self._answer_garbage,
                self._answer_cut,
                self._answer_endless,
            )
        )
        self.answers[f"proxy{spoilt.__name__}"] += 1
        await super().say(writer, spoilt(answer))

    def _answer_good(self, answer: bytes) -> bytes:
        return answer

    def _answer_changed(self, answer: bytes) -> bytes:
        return mutate(self._random, answer)

    def _answer_garbage(self, answer: bytes) -> bytes:
        return self._random.randbytes(self._random.randrange(1, 4096))

    def _answer_cut(self, answer: bytes) -> bytes:
        return answer[: self._random.randrange(len(answer))]

    def _answer_endless(self, answer: bytes) -> bytes:
        return answer.partition(b"\r\n")[0] + b"\r\n" + b"x: y\r\n" * (1 << 18)


async def _mangled(random: Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chance, rest, seen = random.choice(CHANCES), b"", list[bytes]()
    while data := await reader.read(READ_BYTES):
        frames, rest = split_frames(rest + data) if chance else ([data], b"")
        if len(rest) > 4 * READ_BYTES:  # no frame that a broker would send: on with it, as it is
            frames, rest = [*frames, rest], b""
        writer.write(b"".join(mangle(random, frames, chance, seen) if chance else frames))
        seen = [*seen, *frames][-FRAMES_KEPT:]
        await writer.drain()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


async def serve(seed: int, real_port: int) -> None:
    """Until the end of standard input."""
    done: Counter[str] = Counter()
    numbers = count(1)

    async def script(consumer: Consumer) -> None:
        broker.methods.clear()
        try:
            await Moves(Random(f"{seed}/scripted/{next(numbers)}"), consumer).play(done)
        except AttributeError as exc:  # asyncio's, when it writes to a transport that a reset has closed meanwhile
            if exc.obj is not None:
                raise

    async with HostileBroker(script, messages=1000) as broker, contextlib.AsyncExitStack() as stack:
        scripted, real = Relay(f"{seed}/relay", broker.port), Relay(f"{seed}/real", real_port)
        proxy = await stack.enter_async_context(HostileProxy(f"{seed}/proxy"))
        ports = {"scripted": await scripted.start(), "real": await real.start(), "proxy": proxy.port}
        print(json.dumps(ports), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(
            sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set()
        )
        await ended.wait()
        failures = sorted({repr(failure) for failure in broker.failures})
    figures = {
        "connections": scripted.connections + real.connections,
        "moves": done + proxy.answers,
        "failures": failures,
    }
    print(json.dumps(figures), flush=True)


@click.command()
@click.option("--seed", type=int, required=True)
@click.option("--real-port", type=int, required=True, help="Of a RabbitMQ, without TLS.")
def main(seed: int, real_port: int) -> None:
    """Serve until the end of standard input."""
    asyncio.run(serve(seed, real_port))


if __name__ == "__main__":
    main()
