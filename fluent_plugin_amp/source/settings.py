"""What a stream is given: where its queue is, what it is to do, and where its deliveries go.  Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fluent_plugin_amp.model import Counters, Delivery

if TYPE_CHECKING:
    from fluent_plugin_amp.source.amqp import BrokerAddress


class Intake(Protocol):
    """Where deliveries go, and what a flow needs to know of it."""

    def receive(self, delivery: Delivery) -> None:
        """Take one delivery; it is resolved through its ledger, sooner or later."""

    def forget_requeued(self) -> None:
        """Free what belongs to closed ledgers."""

    def counters(self, stream: str) -> Counters:
        """What was counted of one stream."""

    def held_bytes(self, stream: str) -> int:
        """What one stream's deliveries take."""

    @property
    def total_held_bytes(self) -> int:
        """What all deliveries take."""

    @property
    def acked_chunks(self) -> int:
        """Chunks acked by servers since the start."""

    @property
    def available(self) -> bool:
        """A server is there, and not in doubt."""

    @property
    def sink_in_flight(self) -> int:
        """Chunks that wait for an answer."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a stream is consumed, and by whom."""

    broker: BrokerAddress
    queue: str


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What one stream is configured to do.  Times in seconds."""

    name: str
    locate: Callable[[], Awaitable[Location]]
    """Raises PluginError, which is trouble like that of the connection itself."""
    memory_limit_bytes: int
    max_event_bytes: int
    """What is larger is not received, and stays in the queue."""
    shutdown_timeout_s: float
    pause_after_s: float
    exclusive: bool = False
    """Consume only while nobody else does; otherwise stand by."""
    poll_interval_s: float | None = None
    """Connect that often, deliver what is in the queue and disconnect; None: stay connected."""
    silent_after_s: float | None = None
    """For the operator: no event for so long is worth a word; None: it never is."""
    once: bool = False
    """Stop when what was in the queue at the start is done; refusals and standstill are raised, not retried."""

    @property
    def is_polled(self) -> bool:
        """It is connected for one round after the other."""
        return self.poll_interval_s is not None
