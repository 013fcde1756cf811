"""``make mutants``: four plugins that break the promise, and the chaos suite must notice each of them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import run
from tests.chaos.world import make_world

FAULTS_EACH = 12
UNREAD = "kill -9 with chunks unread"
QUICK = (
    "AMQP connection cut",
    "Forward connection cut",
    "kill -9 of the receiver",
    "kill -9 of the plugin",
    UNREAD,
)

ACK_ON_SEND = """
from fluent_plugin_amp.model import Answer, Chunk, Outcome
from fluent_plugin_amp.sink.forward.client import ForwardClient
send = ForwardClient.send
def send_and_hope(self, chunk):
    send(self, Chunk(chunk.id, chunk.tag, chunk.entries, []))
    self.on_answer(Answer(chunk, Outcome.ACKED))
ForwardClient.send = send_and_hope
"""
NO_DUPLICATE_CHECK = """
from fluent_plugin_amp.pipeline.conductor import Conductor
Conductor._is_duplicate = lambda self, line, delivery: False
"""
NO_RESEND = """
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher
def lose(self, server, now):
    self._up.discard(server)
    self._blocked.discard(server)
    forgotten = self._windows[server].lost()
    return len(forgotten)
Dispatcher.lost = lose
"""
NO_DEAD_LETTER = """
from fluent_plugin_amp.errors import InvalidEvent
from fluent_plugin_amp.pipeline.dead_letter_sender import DeadLetterSender
send_instead = DeadLetterSender.send_instead
def forget(self, line, delivery, exc):
    if isinstance(exc, InvalidEvent):
        send_instead(self, line, delivery, exc)
    else:
        delivery.ledger.resolve(delivery.delivery_tag)
DeadLetterSender.send_instead = forget
"""
MUTANTS = {
    # Only a kill while something is on its way takes what was acked too early: among others it may not strike at all.
    "ack on send": (ACK_ON_SEND, (UNREAD,)),
    "no duplicate check": (NO_DUPLICATE_CHECK, QUICK),
    "no resend": (NO_RESEND, QUICK),
    "no dead letter of an event whose processing failed": (NO_DEAD_LETTER, QUICK),
}
"""Each with the names of the faults that strike it."""


def main() -> None:
    """Run each; exit 1 when one of them passed."""
    passed = []
    for name, (prelude, faults) in MUTANTS.items():
        kinds = tuple(fault for fault in FAULTS if fault.name in faults)
        with (
            tempfile.TemporaryDirectory() as folder,
            make_world(Path(folder), seed=1, prelude=prelude) as world,
        ):
            result = run(world, FAULTS_EACH, seed=1, kinds=kinds, settle_s=20.0)
        verdict = "passed: the suite is blind" if result.is_clean else "caught"
        print(
            f"{name}: {verdict}: {len(result.lost)} lost, {result.unexplained} doubled without a reason, "
            f"{result.left} left, stuck after {result.stuck or 'nothing'}",
            flush=True,
        )
        if result.is_clean:
            passed.append(name)
    sys.exit(1 if passed else 0)


if __name__ == "__main__":
    main()
