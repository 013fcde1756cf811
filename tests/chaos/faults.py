"""What the chaos suite does to the world.  Each fault strikes, and ends with the world healed.

A strike returns when what it broke could be used again: from then on recovery is timed.  One whose effect is not
certain says whether it had it; without, it does not count.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.world import ACK_TIMEOUT_S, HEARTBEAT_S, World

Strike = Callable[[World, Random], bool | None]
"""False: it had no effect."""

CLOCK_STEPS_S = (1.0, 60.0, 3600.0, 86_400.0)
CONSUMER_TIMEOUT_S = 1.0
SLOW_S = 1.2
UNREAD_S = 0.5
DISK_FULL = "disk of the state file full"
HEARTBEAT_NOTICE_S = 2 * (HEARTBEAT_S + 5) + 4
"""pika looks every ``heartbeat + 5`` seconds whether bytes moved."""


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
    receiver_restarts: bool = False


def _kill_plugin(world: World, _random: Random) -> None:
    world.note_memory()
    world.plugin.kill()
    world.plugin.start()


def _kill_plugin_unread(world: World, _random: Random) -> None:
    """What it has sent, and nobody has read, is lost with it: whoever acked that to the broker loses events."""
    world.note_memory()
    world.forward.black_hole()
    time.sleep(UNREAD_S)
    world.plugin.kill()
    world.forward.cut()
    world.forward.heal()
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
    time.sleep(SLOW_S)
    world.amqp.heal()


def _slow_forward(world: World, random: Random) -> None:
    world.forward.slow(random.uniform(30_000, 200_000))
    time.sleep(SLOW_S)
    world.forward.heal()


def _close_connections(world: World, _random: Random) -> None:
    world.broker.close_all_connections()


def _consumer_timeout(world: World, _random: Random) -> bool:
    """The broker closes the channel because deliveries stay unacked."""
    world.broker.set_consumer_timeout(CONSUMER_TIMEOUT_S, check_every_s=0.3)
    world.amqp.cut()  # a channel keeps the timeout that it was opened with
    world.wait_for_delivery()
    world.wait_until_busy()
    said = world.listen("[amqp.channel-closed]")
    world.forward.black_hole()
    was_closed = said(CONSUMER_TIMEOUT_S + 4.0)
    world.broker.set_consumer_timeout(None)
    world.forward.heal()
    world.amqp.cut()
    return was_closed


def _vanish_amqp(world: World, _random: Random) -> bool:
    """The broker's host is gone for so long that only the heartbeat tells."""
    said = world.listen("no heartbeat from the broker")
    world.amqp.black_hole()
    was_noticed = said(HEARTBEAT_NOTICE_S)
    world.amqp.heal()
    return was_noticed


def _cancel_consumer(world: World, _random: Random) -> bool:
    """The queue is deleted, which cancels its consumers, and made again with what had not arrived."""
    world.wait_until_consuming()
    said = world.listen("[amqp.consumer-cancelled]")
    with world.queue_deleted():
        return said(2.0)


def _fill_disk(world: World, random: Random) -> bool:
    """The disk with the state file is full: events go on arriving without it."""
    assert world.disk is not None
    said = world.listen("[state.disk-full]")
    world.shorten_state_log()
    with world.disk.full():
        was_noticed = said(10.0)
        goes_on = world.wait_for_delivery(10.0) is not None
        time.sleep(random.uniform(0.0, 1.0))
        said_again = world.listen("in use again")
    return was_noticed and goes_on and said_again(30.0)


def _step_clock(world: World, random: Random) -> None:
    """The plugin's clock jumps, forth or back, from wherever an earlier step left it."""
    step_s = random.choice(CLOCK_STEPS_S) * random.choice((-1, 1))
    world.clock.step(step_s)


FAULTS = (
    Fault("kill -9 of the plugin", _kill_plugin, 8, plugin_survives=False, chunk_in_doubt=True),
    Fault("kill -9 with chunks unread", _kill_plugin_unread, 3, plugin_survives=False, chunk_in_doubt=True),
    Fault("SIGTERM of the plugin", _stop_plugin, 5, plugin_survives=False),
    Fault("restart of the broker", _restart_broker, 1),
    Fault("kill -9 of the broker", _kill_broker, 1),
    Fault("restart of the receiver", _restart_receiver, 4, chunk_in_doubt=True, receiver_restarts=True),
    Fault("kill -9 of the receiver", _kill_receiver, 8, chunk_in_doubt=True, receiver_restarts=True),
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
    Fault("AMQP black hole until the heartbeat tells", _vanish_amqp, 1),
    Fault("consumer cancelled by the broker", _cancel_consumer, 6),
    Fault(DISK_FULL, _fill_disk, 4),
    Fault("step of the plugin's clock", _step_clock, 4),
)


def possible_faults(world: World) -> tuple[Fault, ...]:
    """Those that can strike here: a disk of its own for the state file takes a user who may mount one."""
    return tuple(fault for fault in FAULTS if fault.name != DISK_FULL or world.disk is not None)
