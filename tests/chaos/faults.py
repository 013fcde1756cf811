"""What the chaos suite does to the world.  Each fault strikes, and ends with the world healed.

A fault returns when what it broke could be used again: from then on recovery is timed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.world import ACK_TIMEOUT_S, World

Strike = Callable[[World, Random], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    strike: Strike
    weight: int
    """How often it is drawn, relative to the others."""
    plugin_survives: bool = True
    chunk_in_doubt: bool = False
    """It can take away a chunk's ack, so that its events may arrive twice."""


def _kill_plugin(world: World, _random: Random) -> None:
    world.note_memory()
    world.plugin.kill()
    world.plugin.start()


def _stop_plugin(world: World, _random: Random) -> None:
    world.note_memory()
    world.plugin.signal(signal.SIGTERM)
    world.plugin.wait(30)
    world.plugin.start()


def _restart_broker(world: World, _random: Random) -> None:
    world.broker.restart()


def _kill_broker(world: World, _random: Random) -> None:
    world.broker.kill()
    world.broker.start()


def _restart_receiver(world: World, _random: Random) -> None:
    world.receiver.stop()
    world.receiver.start()


def _kill_receiver(world: World, _random: Random) -> None:
    world.receiver.kill()
    world.receiver.start()


def _cut_amqp(world: World, _random: Random) -> None:
    world.amqp.cut()


def _cut_forward(world: World, _random: Random) -> None:
    world.forward.cut()


def _half_open_amqp(world: World, random: Random) -> None:
    world.amqp.half_open()
    time.sleep(random.uniform(0.2, 2.0))
    world.amqp.heal()


def _half_open_forward(world: World, random: Random) -> None:
    world.forward.half_open()
    time.sleep(random.uniform(0.2, 1.5 * ACK_TIMEOUT_S))
    world.forward.heal()


def _black_hole_amqp(world: World, random: Random) -> None:
    world.amqp.black_hole()
    time.sleep(random.uniform(0.5, 4.0))
    world.amqp.heal()


def _black_hole_forward(world: World, random: Random) -> None:
    world.forward.black_hole()
    time.sleep(random.uniform(0.5, 1.5 * ACK_TIMEOUT_S))
    world.forward.heal()


def _slow_amqp(world: World, random: Random) -> None:
    world.amqp.slow(random.uniform(30_000, 200_000))
    time.sleep(1.5)
    world.amqp.heal()


def _slow_forward(world: World, random: Random) -> None:
    world.forward.slow(random.uniform(30_000, 200_000))
    time.sleep(1.5)
    world.forward.heal()


def _close_connections(world: World, _random: Random) -> None:
    world.broker.close_all_connections()


def _consumer_timeout(world: World, _random: Random) -> None:
    """The broker closes the channel because deliveries stay unacked."""
    world.broker.set_consumer_timeout(1.0)
    world.forward.black_hole()
    time.sleep(2.5)
    world.broker.set_consumer_timeout(None)
    world.forward.heal()


FAULTS = (
    Fault("kill -9 of the plugin", _kill_plugin, 8, plugin_survives=False, chunk_in_doubt=True),
    Fault("SIGTERM of the plugin", _stop_plugin, 5, plugin_survives=False),
    Fault("restart of the broker", _restart_broker, 1),
    Fault("kill -9 of the broker", _kill_broker, 1),
    Fault("restart of the receiver", _restart_receiver, 4, chunk_in_doubt=True),
    Fault("kill -9 of the receiver", _kill_receiver, 8, chunk_in_doubt=True),
    Fault("AMQP connection cut", _cut_amqp, 14),
    Fault("Forward connection cut", _cut_forward, 14, chunk_in_doubt=True),
    Fault("AMQP half open", _half_open_amqp, 6),
    Fault("Forward half open", _half_open_forward, 6, chunk_in_doubt=True),
    Fault("AMQP black hole", _black_hole_amqp, 5),
    Fault("Forward black hole", _black_hole_forward, 5, chunk_in_doubt=True),
    Fault("AMQP slow link", _slow_amqp, 4),
    Fault("Forward slow link", _slow_forward, 4, chunk_in_doubt=True),
    Fault("connections closed by the broker", _close_connections, 12),
    Fault("channel closed by consumer_timeout", _consumer_timeout, 3, chunk_in_doubt=True),
)
