"""What an organisation tells, among kills and outages: ``make organisation``.

A month of audit log and an inventory are at the local cloud.  The plugin, a real process, was away for that month, is
killed with SIGKILL again and again while it reads, and finds the cloud or the server away as often::

    local cloud ──▶ proxy ──▶ fluent-plugin-amp run ──▶ proxy ──▶ receiver

Computers that were told of go while the plugin is dead.  Then others come and go, a day passes, and the books
are held against each other.  Exits with 1 when something is missing, came twice without having been in doubt, or
a goal is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import click

from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.fluentd_process import entries
from fluent_plugin_amp.testing.forward import Message
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.proxy import TcpProxy
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.chaos.means import Clock
from tests.chaos.run import REACH_S
from tests.chaos.world import ACK_DELAY_S, ACK_TIMEOUT_S, wait_for
from tests.e2e.plugin import Plugin
from tests.processes import memory_mib

DAY_S = 86_400
AWAY_S = 30 * DAY_S
EQUAL_EVERY = 100
"""One of so many entries of the audit log equals the one before it in every field."""
OUTAGE_S = 1.0
GOING_EACH = 3
"""Computers that go at a kill, and had been told of: with luck since the last checkpoint."""
MEMORY_GOAL_MIB = 120.0
SHARE = 0.5
STUCK_S = 600.0
PRELUDE = """
from fluent_plugin_amp.backoff import Pace
from fluent_plugin_amp.organisation import source
source.PACE = Pace(0.2, 1.0)
"""
"""A source in trouble tries again sooner than it does elsewhere."""

Key = tuple[str, str]
"""Kind of a record, and which one."""
PROBE = ("probe", "of the plugin")


class Arrived(NamedTuple):
    """One record at the receiver."""

    at: float
    """Seconds since the epoch."""
    chunk: str | None


class Strike(NamedTuple):
    """One fault, in seconds since the epoch."""

    kind: str
    began_at: float
    healed_at: float

    def puts_in_doubt(self, arrived: Arrived) -> bool:
        """It may have taken away the ack of what arrived then, or the note of it."""
        return self.began_at - REACH_S <= arrived.at <= self.healed_at + REACH_S


class Books:
    """What arrived, in a receiver's thread; read from any other."""

    def __init__(self) -> None:
        self.arrived: dict[Key, list[Arrived]] = defaultdict(list)
        self.count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)
        self._server = FakeFluentd(keep=False, on_message=self._take)

    @property
    def port(self) -> int:
        """Of the receiver."""
        return self._server.port

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()

    def stop(self) -> None:
        """Listen no more."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _take(self, message: Message) -> None:
        arrived = Arrived(time.time(), message.chunk)
        for _, record in entries(message):
            self.arrived[_key_of(record)].append(arrived)
            self.count += 1


def _key_of(record: dict[str, Any]) -> Key:
    if "computer" in record:
        return record["change"], record["computer"]["connector_guid"]
    if "item" in record:
        return "entry", record["item"]
    if record.get("fluent_plugin_amp") == "probe":
        return PROBE  # the server was away often enough to be asked whether it takes anything at all
    return "neither entry nor computer", repr(record)[:500]  # shown when the books are held against each other


@dataclass
class World:
    """Everything, running."""

    organisation: Organisation
    books: Books
    cloud: TcpProxy
    server: TcpProxy
    clock: Clock
    plugin: Plugin
    expected: Counter[Key]
    peak_mib: float = 0.0
    strikes: list[Strike] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Computers that went at a kill: the next sweep tells of them."""

    def note_memory(self) -> None:
        """Remember the plugin's peak."""
        with contextlib.suppress(OSError):
            self.peak_mib = max(self.peak_mib, memory_mib(self.plugin.pid))

    def has_all(self) -> bool:
        """Everything that is expected has arrived."""
        self.note_memory()
        arrived = self.books.arrived
        return len(arrived) >= len(self.expected) and all(
            len(arrived.get(key, ())) >= count for key, count in self.expected.items()
        )

    def let_some_go(self, random: Random) -> None:
        """Computers that were told of are gone from now on."""
        told = {guid for change, guid in list(self.books.arrived) if change == "appeared"}
        computers = self.organisation.inventory.computers
        for guid in random.sample(sorted(told & computers.keys()), min(GOING_EACH, len(told & computers.keys()))):
            del computers[guid]
            self.gone.append(guid)

    def strike(self, kind: str, random: Random) -> None:
        """One fault, and its end."""
        self.note_memory()
        began_at = time.time()
        if kind == "kill -9":
            self.server.waits_for_reply or wait_for(lambda: self.server.waits_for_reply, 2.0, every_s=0.001)
            began_at = time.time()
            self.plugin.kill()
            self.let_some_go(random)
            self.plugin.start()
        else:
            proxy = self.cloud if kind == "cloud away" else self.server
            proxy.refuse()
            proxy.cut()
            time.sleep(OUTAGE_S)
            proxy.heal()
        self.strikes.append(Strike(kind, began_at, time.time()))


@contextlib.contextmanager
def make_world(folder: Path, random: Random, entry_count: int, computer_count: int) -> Iterator[World]:
    """Start everything, a month ago by the plugin's clock; then let that month pass at once."""
    certificates = make_certificates(folder / "certificates")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(PrivateRabbitMQ(certificates=certificates))
        stream = broker.create_stream("event_stream_1")
        cloud = stack.enter_context(LocalCloud())
        organisation = cloud.add_organisation(read_only=True)
        books = Books()
        books.start()
        stack.callback(books.stop)
        to_cloud = stack.enter_context(TcpProxy(int(cloud.url.rpartition(":")[2])))
        to_server = stack.enter_context(TcpProxy(books.port, reply_delay_s=ACK_DELAY_S))
        clock = Clock(folder / "clock")
        config = {
            "organisations": [
                {
                    "name": "acme",
                    "cloud": {"api": f"http://127.0.0.1:{to_cloud.port}"},
                    "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
                    "audit_logs": {"poll_interval": "1s"},
                    "computers": {"poll_interval": "1m"},
                    "rate_limit_share": SHARE,
                }
            ],
            "streams": [
                {
                    "url": stream.tls_url,
                    "username": stream.username,
                    "password": stream.password,
                    "queue": stream.queue,
                    "tls": {"ca_file": str(certificates.ca_file)},
                }
            ],
            "forward": {
                "servers": [{"host": "127.0.0.1", "port": to_server.port}],
                "ack_response_timeout": ACK_TIMEOUT_S,
            },
            "state": {"path": str(folder / "state.db")},
            "observe": {"listen": None},
        }
        plugin = Plugin(folder, config, prelude=clock.prelude + PRELUDE)
        stack.callback(plugin.kill)
        now = int(time.time())
        clock.step(-AWAY_S)
        world = World(organisation, books, to_cloud, to_server, clock, plugin, Counter())
        organisation.audit_log.add(now - AWAY_S - 300, item="the first")
        world.expected["entry", "the first"] = 1
        with plugin:
            assert wait_for(world.has_all, 60.0), plugin.log
            plugin.stop()
        clock.step(AWAY_S)
        _fill(world, random, now, entry_count, computer_count)
        plugin.start()
        yield world


def _fill(world: World, random: Random, now: int, entry_count: int, computer_count: int) -> None:
    seconds = sorted(random.randrange(now - AWAY_S + 600, now - 120) for _ in range(entry_count))
    for number in range(entry_count):
        original = number - (number % EQUAL_EVERY == 1)
        item = f"{original}"
        world.organisation.audit_log.add(
            seconds[original], item=item, old_attributes={"name": "a" * 80}, new_attributes={"name": "b" * 80}
        )
        world.expected["entry", item] += 1
    inventory = world.organisation.inventory
    silent = inventory.add_computers(computer_count * 49 // 50, last_seen=now - 3 * DAY_S)
    for guid in [*silent, *inventory.add_computers(computer_count - len(silent))]:
        world.expected["appeared", guid] = 1


def change_computers(world: World, random: Random, count: int) -> None:
    """So many go, as many come, and a day passes: a sweep tells of them, and of those that went at a kill."""
    world.expected.update(("gone", guid) for guid in world.gone)
    computers = world.organisation.inventory.computers
    for guid in random.sample(sorted(computers), count):
        del computers[guid]
        world.expected["gone", guid] = 1
    for guid in world.organisation.inventory.add_computers(count):
        world.expected["appeared", guid] = 1
    world.clock.step(DAY_S + 60)
    world.plugin.kill()  # instead of an hour, it waits until it is back
    world.strikes.append(Strike("kill -9", time.time(), time.time()))
    world.plugin.start()


def shake(world: World, random: Random, kills: int, outages: int) -> None:
    """All faults, in a random order, spread over what is to arrive."""
    kinds = ["kill -9"] * kills + ["cloud away", "server away"] * (outages // 2)
    random.shuffle(kinds)
    total = world.expected.total()
    marks = sorted(random.randrange(total // 100, total * 95 // 100) for _ in kinds)
    for number, (kind, mark) in enumerate(zip(kinds, marks, strict=True), start=1):
        before = world.books.count
        assert wait_for(lambda: world.books.count >= mark, STUCK_S), world.plugin.log[-3000:]  # noqa: B023
        wait_for(lambda: world.books.count > before, 20.0)  # noqa: B023 - it has begun again
        print(f"{number:3} {kind} at {world.books.count} records", flush=True)
        world.strike(kind, random)


def balance(world: World) -> bool:
    """Print the books; whether everything is as promised."""
    arrived, expected = world.books.arrived, world.expected
    missing = sum(max(0, count - len(arrived.get(key, ()))) for key, count in expected.items())
    unknown = [key for key in arrived if key not in expected and key != PROBE]
    doubled = unexplained = 0
    chunks: dict[int, set[str | None]] = defaultdict(set)  # in doubt, by the fault
    for key, count in expected.items():
        for one in sorted(arrived.get(key, ()))[: max(0, len(arrived.get(key, ())) - count)]:
            doubled += 1
            culprits = [number for number, strike in enumerate(world.strikes) if strike.puts_in_doubt(one)]
            unexplained += not culprits
            if culprits:
                chunks[culprits[-1]].add(one.chunk)
    limit = world.organisation.requests
    share = limit.used / limit.limit
    struck = Counter(strike.kind for strike in world.strikes)
    print(", ".join(f"{count} × {kind}" for kind, count in sorted(struck.items())))
    print(
        f"{expected.total()} records expected, {world.books.count} arrived, {missing} missing, {len(unknown)} unknown"
    )
    if missing or unknown:
        lacking = Counter(key[0] for key, count in expected.items() if len(arrived.get(key, ())) < count)
        print(f"missing by kind: {dict(lacking)}; unknown: {unknown[:5]}")
    most = max(map(len, chunks.values()), default=0)
    print(f"{doubled} doubled, of {sum(map(len, chunks.values()))} chunks in doubt, {most} at most at one fault")
    print(f"{unexplained} of these had not been in doubt")
    print(f"{world.peak_mib:.0f} MiB at most, {limit.used} requests: {share:.2f} of the rate limit")
    return not (missing or unknown or unexplained) and world.peak_mib <= MEMORY_GOAL_MIB and share <= SHARE


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--entries", "entry_count", default=100_000, show_default=True, help="Of the audit log.")
@click.option("--computers", "computer_count", default=50_000, show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--outages", default=20, show_default=True, help="Of cloud and server, half of them each.")
def main(seed: int, entry_count: int, computer_count: int, kills: int, outages: int) -> None:
    """Shake the plugin while it reads, and show the books."""
    random = Random(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="amp-organisation-") as folder:
        with make_world(Path(folder), random, entry_count, computer_count) as world:
            shake(world, random, kills - 1, outages)
            assert wait_for(world.has_all, STUCK_S, every_s=0.5), world.plugin.log[-3000:]
            change_computers(world, random, max(1, computer_count // 500))
            is_complete = wait_for(world.has_all, STUCK_S, every_s=0.5)
            if not is_complete:
                print(world.plugin.log[-3000:])
            world.note_memory()
            world.plugin.stop()
        print(f"seed {seed}: {entry_count} entries, {computer_count} computers, {time.monotonic() - began:.0f} s")
        is_good = balance(world)
    sys.exit(0 if is_good and is_complete else 1)


if __name__ == "__main__":
    main()
