"""Conditions that are no errors, but that an operator should know: a stream waits, a server is slow.  Pure.

An error has its own id and remedy (`errors`).  The figures of a moment show the conditions.  Both become a
`status.Finding`.  docs/operations.md explains each id.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

SLOW_ACK_FROM_S = 5.0
LATE_FROM_S = 3600.0
"""A completeness record that is due for longer is late."""


class Level(enum.IntEnum):
    """How much it matters."""

    OK = 0
    WARNING = 1
    TROUBLE = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """A kind of finding."""

    id: str
    remedy: str
    level: Level = Level.TROUBLE
    blocks: bool = True
    """The plugin is not ready while it lasts."""


CONNECTING = Condition(
    "stream.connecting",
    "Nothing to do if it passes within seconds: many streams start spread over a few of them.",
    Level.WARNING,
)
NO_SERVER = Condition(
    "stream.no-server",
    "See the servers: until one acknowledges, the broker keeps every event, and nothing is lost for ten days.",
)
PAUSED = Condition(
    "stream.paused",
    "Look for a full or blocked buffer in Fluentd or Fluent Bit. The stream resumes by itself when a server "
    "acknowledges; until then the events are back in the queue.",
)
WAITS_FOR_MEMORY = Condition(
    "stream.waits-for-memory",
    "Other streams hold all of memory_limit. Nothing to do if it passes; otherwise see why the servers are slow, or "
    "raise memory_limit.",
    Level.WARNING,
)
SLOWED = Condition(
    "stream.slowed",
    "Events are larger than memory_limit allows for, so fewer are taken at once. Nothing is lost; raise memory_limit "
    "for more speed.",
    Level.WARNING,
    blocks=False,
)
REQUEUED_OFTEN = Condition(
    "stream.requeued-often",
    "At the queue's delivery limit the broker deletes the event. Mend what keeps the servers from acknowledging; "
    "until then the stream takes one event at a time.",
    blocks=False,
)
FALLING_BEHIND = Condition(
    "stream.falling-behind",
    "See the latency of the servers, give Fluentd more workers or flush threads, raise forward.max_in_flight, or "
    "share the streams among processes (shard).",
    Level.WARNING,
    blocks=False,
)
CATCHING_UP = replace(FALLING_BEHIND, remedy="Nothing to do: the queue shrinks.")
PERHAPS_CATCHING_UP = replace(
    FALLING_BEHIND,
    remedy="See in a minute whether the queue shrinks: then there is nothing to do, as after an outage.",
)
BEHIND_OTHERS = replace(
    FALLING_BEHIND,
    remedy="See the servers and the state file: the queue is not emptied before what is in trouble there is well.",
)
EXPIRING = Condition(
    "stream.expiring",
    "Cisco deletes events after ten days: find out now why the queue is not emptied.",
    blocks=False,
)
SILENT = Condition(
    "stream.silent",
    "See in Cisco's console whether there are new events. If there are: compare the stream's event types and groups "
    "(`amp-streams show`), and look for another consumer of its queue. If a quiet night is nothing unusual, raise "
    "`silent_after`.",
    Level.WARNING,
    blocks=False,
)
SHARED = Condition(
    "stream.shared",
    "Find the other program that has the stream's credentials, and stop it, or make a stream for each. Two processes "
    "of this plugin want `exclusive: true`.",
    Level.WARNING,
    blocks=False,
)
TAGS_USED_UP = Condition(
    "stream.tags-used-up",
    "Leave out of `tag` what has very many values, or raise `max_tags` if the servers can bear it. Nothing is lost: "
    "the record has the fields.",
    Level.WARNING,
    blocks=False,
)
SCHEMA_DRIFT = Condition(
    "stream.schema-drift",
    "Nothing is lost: what is new stays under its own path. See which fields it is with `fluent-plugin-amp shape` on "
    "captured events; a newer release may know them.",
    Level.WARNING,
    blocks=False,
)
NOT_DELIVERED = Condition(
    "completeness.missing",
    "If events wait in the queue, nothing: they are found at the next look. Otherwise deliver them with "
    "`fluent-plugin-amp reconcile --repair`, or set `completeness.repair`.",
    Level.WARNING,
    blocks=False,
)
RECORD_LATE = Condition(
    "completeness.late",
    "See whether a server acknowledges, and whether the API answers: a trouble of either is told by itself. After a "
    "long outage the records come one after the other.",
    Level.WARNING,
    blocks=False,
)
STOPPING = Condition(
    "stream.stopping",
    "Nothing to do: what is held is delivered, then the stream ends.",
    Level.WARNING,
)
SERVER_CONNECTING = Condition(
    "forward.connecting",
    "Nothing to do if it passes within seconds.",
    Level.WARNING,
)
SLOW_ACK = Condition(
    "forward.slow-ack",
    "Look for a full or blocked buffer in the server. After ack_response_timeout its chunks are sent again, to "
    "another server if there is one.",
    Level.WARNING,
    blocks=False,
)


def behind(growth_per_s: float | None, *, is_expiring: bool, flows: bool) -> Condition:
    """The condition of a queue whose oldest event waits for long.  It gives advice only if the queue does not shrink.

    Args:
        growth_per_s: events a second by which the queue grows; None while that is not known.
        is_expiring: Cisco will soon delete the oldest event.
        flows: a server acknowledges, and no event waits for the state file.  If not, the queue's last growth says
            nothing about the next minutes.
    """
    if is_expiring:
        return EXPIRING
    if not flows:
        return BEHIND_OTHERS
    if growth_per_s is None:
        return PERHAPS_CATCHING_UP
    return CATCHING_UP if growth_per_s < 0 else FALLING_BEHIND


ALL = (
    *(CONNECTING, NO_SERVER, PAUSED, WAITS_FOR_MEMORY, SLOWED, REQUEUED_OFTEN, FALLING_BEHIND, EXPIRING),
    *(SILENT, SHARED, TAGS_USED_UP, SCHEMA_DRIFT, NOT_DELIVERED, RECORD_LATE, STOPPING),
    *(SERVER_CONNECTING, SLOW_ACK),
)
