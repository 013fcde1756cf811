"""What is kept for each stream while its events are on their way, and how many bytes that is.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluent_plugin_amp.model import Counters, Delivery
from fluent_plugin_amp.pipeline.transform import Transform


@dataclass(slots=True)
class Line:
    """What is kept for one stream."""

    transform: Transform
    counters: Counters = field(default_factory=Counters)
    in_flight: dict[bytes, Delivery] = field(default_factory=dict)
    """The first copy of each event that is on its way, by digest."""
    held_bytes: int = 0


class Lines:
    """All streams.  The base class of the conductor, not a part of it: a part would cost a call for each event."""

    def __init__(self, transforms: dict[str, Transform]) -> None:
        self.lines = {name: Line(transform) for name, transform in transforms.items()}
        self.total_held_bytes = 0

    def open(self, stream: str, transform: Transform) -> None:
        """A stream comes, or goes on with another transform."""
        if stream in self.lines:
            self.lines[stream].transform = transform
        else:
            self.lines[stream] = Line(transform)

    def close(self, stream: str) -> bool:
        """Forget a stream that has gone; False while there is something of it on its way."""
        if not self.has_nothing_of(stream):
            return False
        del self.lines[stream]
        return True

    def has_nothing_of(self, stream: str) -> bool:
        """Whether nothing of a stream is on its way."""
        line = self.lines[stream]
        return not (line.held_bytes or line.in_flight)

    def line_of(self, stream: str) -> Line:
        """One stream; it may be configured no more, and something of it was kept or is open."""
        if stream not in self.lines:
            self.lines[stream] = Line(Transform(stream))
        return self.lines[stream]

    def counters(self, stream: str) -> Counters:
        """What was counted of one stream."""
        return self.lines[stream].counters

    def held_bytes(self, stream: str) -> int:
        """Bodies and packed entries of one stream."""
        return self.lines[stream].held_bytes

    def hold(self, line: Line, delivery: Delivery, size: int) -> None:
        """The delivery takes ``size`` bytes from now on."""
        more = size - delivery.held_bytes
        delivery.held_bytes = size
        line.held_bytes += more
        self.total_held_bytes += more

    def release(self, line: Line, delivery: Delivery) -> None:
        """The delivery takes no bytes any more, and is not on its way."""
        self.hold(line, delivery, 0)
        self.no_longer_in_flight(line, delivery)

    def no_longer_in_flight(self, line: Line, delivery: Delivery) -> None:
        """From now on a copy that arrives is no copy of this one."""
        if line.in_flight.get(delivery.digest) is delivery:
            del line.in_flight[delivery.digest]
