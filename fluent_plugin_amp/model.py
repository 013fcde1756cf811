"""What flows through the plugin, from the broker to the server and back.  Pure.

::

    Delivery ── decode, transform ──▶ entries ── batch ──▶ Chunk ──▶ Sink
       ▲                                                              │
       └────────────── resolved when its last part is ◀──── Answer ───┘

The answer travels with the data: a chunk knows the delivery behind each of its entries, a delivery knows the
ledger of the channel it came from.  Nothing in between needs to know about queues or sockets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from fluent_plugin_amp.errors import InvalidEvent

Record = dict[str, Any]
"""A decoded event: a JSON object, integers exact."""


class EventIdentity(NamedTuple):
    """What is remembered of a delivered event: by this it is known again in another form (`delivered.identity_of`).

    None for a field that is missing, or not of a kind that Cisco documents.
    """

    event_id: int | str | None
    """A text when it is no number; over REST it may be rounded."""
    seconds: int
    nanoseconds: int
    event_type_id: int | None
    connector_guid: str | None
    detection_id: int | str | None = None
    """Never rounded.  State files of before do not have it."""


class Ledger(Protocol):
    """Where a resolved delivery is reported: the unacked deliveries of one AMQP channel."""

    closed: bool
    """The channel is gone; its delivery tags mean nothing any more."""

    def resolve(self, delivery_tag: int) -> None:
        """Every part of this delivery is safe; it may be acked.  Ignored when closed."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One AMQP message as it arrived, and how many of its parts are still on their way."""

    stream: str
    ledger: Ledger
    delivery_tag: int
    body: bytes
    redelivered: bool = False
    routing_key: str = ""
    received_at: float = 0.0
    """Arrival, seconds since the epoch."""
    pulled_at: float = 0.0
    """Beginning of the round that brought it, where its stream is polled, seconds since the epoch; 0: it is not."""
    digest: bytes = b""
    """Hash of the body: with the stream it tells a redelivered event."""
    facts: EventIdentity | None = None
    """For the memory of what was delivered; None: it does not want them, or there is no event to be read."""
    member: Any = None
    """Its part in combined records (`pipeline.combine.member.Member`); None: it has none."""
    ask: Any = None
    """The hunt that it asks for (`pipeline.asking.Ask`); None: for none."""
    is_combined: bool = False
    """It stands for a combined record, which no broker delivered: nothing is counted or remembered of it."""
    parts: int = 0
    """Entries, batched or in a chunk, that are not acked by a server yet."""
    held_bytes: int = 0
    """What it counts for against memory_limit: body and packed form."""
    twins: Sequence[Delivery] = ()
    """Redelivered copies that share this one's outcome."""

    @property
    def is_requeued(self) -> bool:
        """The broker has it back, and every copy too: nothing waits for its outcome any more."""
        return self.ledger.closed and all(twin.ledger.closed for twin in self.twins)


@dataclass(slots=True, eq=False)
class Chunk:
    """A batch of entries under one tag: what a server takes and acks as a whole.

    ``entries[i]`` is a packed ``[EventTime, record]`` and stems from ``deliveries[i]``.  A chunk keeps its id
    however often and to whichever server it is sent.
    """

    id: str
    """base64 of 16 random bytes."""
    tag: str
    entries: list[bytes]
    deliveries: list[Delivery]
    is_dead_letters: bool = False

    @property
    def bytes(self) -> int:
        """Length of the packed entries, before compression."""
        return sum(map(len, self.entries))

    @property
    def is_requeued(self) -> bool:
        """The broker has all its deliveries back, redelivered copies included: no ledger waits for it any more."""
        return all(
            delivery.ledger.closed and all(twin.ledger.closed for twin in delivery.twins)
            for delivery in self.deliveries
        )


@dataclass(slots=True)
class Counters:
    """Of one stream, since the start of the process."""

    received: int = 0
    delivered: int = 0
    duplicates: int = 0
    dropped: int = 0
    dead_letters: int = 0
    received_bytes: int = 0
    newest_event_at: int = 0
    """Latest event time received, seconds since the epoch; not of the future: some clocks are wrong."""

    def since(self, before: Counters) -> Counters:
        """What was counted after ``before``."""
        return Counters(
            received=self.received - before.received,
            delivered=self.delivered - before.delivered,
            duplicates=self.duplicates - before.duplicates,
            dropped=self.dropped - before.dropped,
            dead_letters=self.dead_letters - before.dead_letters,
            received_bytes=self.received_bytes - before.received_bytes,
            newest_event_at=self.newest_event_at,
        )


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """One Forward server at one moment, for the operator."""

    server: str
    is_standby: bool
    is_up: bool
    """Connected, handshake done."""
    is_doubtful: bool
    """Chunks got in doubt, and it has not acked one since."""
    in_flight: int
    owes_ack_s: float
    """Age of its oldest chunk in flight; 0 without one."""
    ack_latency_s: float | None
    """Of the chunk acked last."""
    retries: int
    """Chunks that it did not ack, and that were sent again, since the start of the process."""


class Outcome(enum.Enum):
    """What became of a chunk."""

    ACKED = "acked"
    """A server acknowledged it: it is that server's responsibility now."""
    REFUSED = "refused"
    """The chunk holds a single entry, which healthy servers refuse to take: poison."""
    SHED = "shed"
    """Forgotten on request (`Sink.shed`): the broker delivers its events again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The one answer to a chunk given to a sink, or to a part of it when the sink had to split it."""

    chunk: Chunk
    outcome: Outcome
    server: str = ""


class Pending:
    """What is not safe yet, and who waits for it.

    Whoever waits is called at once when it is safe, within the call of `is_safe_now`: one loop, no task switch.
    """

    __slots__ = ("_is_safe", "_waiting")

    def __init__(self) -> None:
        self._is_safe = False
        self._waiting: list[Callable[[], None]] = []

    def is_safe_now(self) -> None:
        """Call those who wait, in order; later ones are called as they come.  Once is enough."""
        self._is_safe = True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def then(self, call: Callable[[], None]) -> None:
        """Call this when it is safe; now, if it is safe already."""
        if self._is_safe:
            call()
        else:
            self._waiting.append(call)

    @classmethod
    def both(cls, one: Pending | None, other: Pending | None) -> Pending | None:
        """Safe when both are; None: it is safe already."""
        if one is None or other is None:
            return one or other
        both = cls()
        one.then(lambda: other.then(both.is_safe_now))
        return both


class Delivered(Protocol):
    """Remembers what was delivered, of all streams, so that what the broker delivers again is not sent again.

    Invariant: what was given to ``record`` is known from that moment on, or at the latest when it is safe.  Until
    then it is on its way, and its copies are known by that.
    """

    wants_facts: bool
    """Whether deliveries should carry their `Delivery.facts`."""

    def contains(self, stream: str, digest: bytes) -> bool:
        """Whether this event of this stream was delivered."""

    def record(self, deliveries: list[Delivery]) -> Pending | None:
        """A server has these: remember them.  They may be acked to the broker when that is safe; None: now.

        Those that have a part in combined records (`Delivery.member`) are given apart from the others, and so are
        those that ask for a hunt (`Delivery.ask`).
        """


class DeadLetterStore(Protocol):
    """Keeps dead letters that no server takes even in the smallest parts, and has them sent again later."""

    def keep(self, delivery: Delivery, error: InvalidEvent, done: Callable[[bool], None]) -> None:
        """Keep this one; ``done(True)``: it is safe, ``done(False)``: it could not be kept."""

    def refused(self, delivery: Delivery) -> None:
        """No server took a kept letter this time either."""


class Sink(Protocol):
    """Takes chunks and answers for each entry of them exactly once, through ``on_answer``.

    ``on_change`` is called whenever ``room`` or ``available`` may have become larger.
    """

    on_answer: Callable[[Answer], None]
    on_change: Callable[[], None]

    @property
    def room(self) -> int:
        """How many chunks it takes now; 0 while no server can be reached."""

    @property
    def available(self) -> bool:
        """A server is connected and there is no doubt that it acks."""

    @property
    def in_flight(self) -> int:
        """Chunks taken and not answered yet, those waiting for a server included."""

    def send(self, chunk: Chunk) -> None:
        """Take a chunk; never blocks, never raises for a peer's fault."""

    def held(self) -> list[Chunk]:
        """Chunks taken and not answered yet."""

    def shed(self) -> None:
        """Forget chunks (``Outcome.SHED``) whose deliveries all are `Delivery.is_requeued`; keep one as a probe."""

    async def run(self) -> None:
        """Connect and stay connected until cancelled."""
