"""Who else is hostile, each in a thread of its own: a publisher of garbage, clients of the status page, an operator.

Each draws what it does from a `random.Random` of the seed and its name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pika
import pika.exceptions

from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD, HOST
from tests.fuzz.events import GarbageEvents, properties
from tests.fuzz.mutate import mutate

IDLE_CONNECTIONS = 80
"""More than the status page takes at once."""
LARGE_FILE_BYTES = 100 << 20
PROBE_TIMEOUT_S = 30.0


class Worker(ABC):
    """Does one thing after the other, every ``every_s`` seconds, until stopped."""

    def __init__(self, name: str, seed: int, every_s: float) -> None:
        self.name = name
        self.done: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.random = Random(f"{seed}/{name}")
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def step(self) -> None:
        """Do something; an OSError is what may happen."""

    def close(self) -> None:
        """Leave everything as it should be."""
        return

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                with contextlib.suppress(OSError):
                    self.step()
            self.close()
        except BaseException as exc:
            self.failure = exc

    def play(self, *steps: tuple[int, Callable[[], None]]) -> None:
        """One of them, drawn by weight."""
        step = self.random.choices([step for _, step in steps], [weight for weight, _ in steps])[0]
        self.done[step.__name__.lstrip("_")] += 1
        step()


class RawProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties that are encoded already."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self._encoded = encoded

    def encode(self) -> list[bytes]:
        """As they are."""
        return [self._encoded]


class GarbagePublisher(Worker):
    """Publishes garbage into queues of a real broker, with properties and headers of every type."""

    def __init__(self, seed: int, broker: PrivateRabbitMQ, queues: list[str], every_s: float) -> None:
        super().__init__("garbage", seed, every_s)
        self._broker = broker
        self._queues = queues
        self._bodies = GarbageEvents(self.random)
        self._connection: pika.BlockingConnection | None = None

    def step(self) -> None:
        """One body into each queue, sometimes several times the same."""
        body, raw = self._bodies.body(), RawProperties(properties(self.random))
        times = self.random.choice((1, 1, 1, 2, 5))
        try:
            if self._connection is None or self._connection.is_closed:
                credentials = pika.PlainCredentials(ADMIN, ADMIN_PASSWORD)
                self._connection = pika.BlockingConnection(
                    pika.ConnectionParameters(HOST, self._broker.port, credentials=credentials)
                )
                self._channel = self._connection.channel()
            for queue in self._queues * times:
                self._channel.basic_publish("", queue, body, raw)
            self._connection.process_data_events(0)
            self.done["published"] += times * len(self._queues)
        except pika.exceptions.AMQPError:
            self.done["refused by the broker"] += 1
            self._connection = None

    def close(self) -> None:
        """Say goodbye."""
        if self._connection is not None and self._connection.is_open:
            with contextlib.suppress(pika.exceptions.AMQPError):
                self._connection.close()


class RudeClients(Worker):
    """Clients of the status page that are slow, many, or speak no HTTP."""

    def __init__(self, seed: int, port: int, every_s: float) -> None:
        super().__init__("http", seed, every_s)
        self._port = port
        self._idle: list[socket.socket] = []

    def step(self) -> None:
        """One of them."""
        self.play(
            *((5, self._garbage), (5, self._mutated), (3, self._slow), (2, self._idle_ones), (2, self._cut_off)),
            *((2, self._large), (2, self._other_host), (2, self._pipelined), (3, self._not_read)),
        )

    def close(self) -> None:
        """Close what is open."""
        self._forget()

    def _garbage(self) -> None:
        self._exchange(self.random.randbytes(self.random.choice((1, 100, 20_000))))

    def _mutated(self) -> None:
        self._exchange(mutate(self.random, self._request()))

    def _slow(self) -> None:
        request = self._request()
        with self._connect() as link:
            for byte in request[: self.random.randrange(len(request))]:
                link.send(bytes([byte]))
                time.sleep(0.02)

    def _idle_ones(self) -> None:
        """More than there is room for, until the next time."""
        self._forget()
        self._idle = [self._connect() for _ in range(IDLE_CONNECTIONS)]

    def _cut_off(self) -> None:
        with self._connect() as link:
            link.send(self._request())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _large(self) -> None:
        self._exchange(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)

    def _other_host(self) -> None:
        host = self.random.choice((b"evil.example", b"[::1", b"", b"127.0.0.1:99999", b"\xff", b"a" * 5_000))
        self._exchange(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    def _pipelined(self) -> None:
        self._exchange(self._request() * 50)

    def _not_read(self) -> None:
        """Asks for the page, and takes none of it."""
        with self._connect() as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            link.send(self._request())
            time.sleep(0.2)

    def _request(self) -> bytes:
        path = self.random.choice(
            (b"/", b"/metrics", b"/healthz", b"/readyz", b"/..", b"/?a=%00", b"*", b"http://x/")
        )
        method = self.random.choice((b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT"))
        return method + b" " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello"

    def _exchange(self, request: bytes) -> None:
        with self._connect() as link:
            link.sendall(request)
            while link.recv(65_536):
                pass

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), 5.0)

    def _forget(self) -> None:
        for link in self._idle:
            link.close()
        self._idle = []


class Operator(Worker):
    """Breaks the configuration, has it reloaded, and mends it again; every broken one surely cannot be used."""

    def __init__(self, seed: int, config_file: Path, signal_plugin: Callable[[int], None], every_s: float) -> None:
        super().__init__("reload", seed, every_s)
        self._file = config_file
        self._good = config_file.read_text()
        self._more = config_file.parent / "more"
        self._more.mkdir()
        self._signal = signal_plugin

    def step(self) -> None:
        """A file that cannot be used, and soon after it the good one again."""
        self.play(
            *((4, self._mutated), (2, self._deep), (2, self._aliases), (1, self._large), (2, self._loop)),
            *((2, self._folder), (2, self._fifo), (2, self._not_text), (2, self._gone), (2, self._many_signals)),
        )
        self._reload()
        self.close()

    def close(self) -> None:
        """The good configuration is in force."""
        for path in self._more.iterdir():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        self._write(self._good)
        self._reload()

    def _reload(self) -> None:
        self._signal(signal.SIGHUP)
        time.sleep(self.random.random())

    def _write(self, text: str | bytes) -> None:
        self._file.write_bytes(text.encode() if isinstance(text, str) else text)

    def _mutated(self) -> None:
        self._write(mutate(self.random, self._good.encode()) + b"\n]: {\n")

    def _deep(self) -> None:
        self._write(self._good + "\nmore: " + self.random.choice("[{") * 3_000)

    def _aliases(self) -> None:
        lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
        self._write(self._good + "\n" + "\n".join(lines) + "\n")

    def _large(self) -> None:
        self._write(self._good)
        os.truncate(self._file, LARGE_FILE_BYTES)

    def _loop(self) -> None:
        (self._more / "a.yml").symlink_to(self._more / "b.yml")
        (self._more / "b.yml").symlink_to(self._more / "a.yml")
        self._include()

    def _folder(self) -> None:
        (self._more / "a.yml").mkdir()
        self._include()

    def _fifo(self) -> None:
        os.mkfifo(self._more / "a.yml")
        self._include()

    def _not_text(self) -> None:
        (self._more / "a.yml").write_bytes(self.random.randbytes(5_000))
        self._include()

    def _include(self) -> None:
        self._write(f"include: {self._more}/*.yml\n" + self._good.replace("\ninclude:", "\nincluded:"))

    def _gone(self) -> None:
        self._file.unlink()

    def _many_signals(self) -> None:
        self._write("nothing: [")
        for _ in range(20):
            self._signal(signal.SIGHUP)


class Probe(Worker):
    """Asks for /healthz, as a supervisor does; it must be answered whatever else happens."""

    def __init__(self, port: int) -> None:
        super().__init__("probe", 0, 1.0)
        self._port = port
        self.missed = 0
        self.slowest_s = 0.0

    def step(self) -> None:
        """Once."""
        began = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self._port), PROBE_TIMEOUT_S) as link:
                link.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                healthy = link.recv(4096).startswith(b"HTTP/1.1 200 ")
        except OSError:
            healthy = False
        self.done["asked"] += 1
        self.missed += not healthy
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
