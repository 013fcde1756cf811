"""Combined records, from the events that servers have to the servers again: detections and incidents.

A `model.Delivered` around another one.  An event takes part when a server has it, at the moment when it is to be
remembered as delivered, and both are kept together: so an event that the broker delivers again is known, and takes
part once.  Where there is a `Keeper`, an event that takes part is acked to the broker after its part is safe, and a
combined record is sent after it is safe, until a server has it: a crash loses none, and one that is sent again is the
same, byte for byte.  Without a keeper all of it is lost with the process, but what was written.

Invariant: whatever fails here costs an event its part in combined records, and is told; the event itself is
remembered as delivered, and acked, as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.facts import InternalError, Observer
from fluent_plugin_amp.model import Delivered, Delivery, Pending, Record
from fluent_plugin_amp.pipeline.combine.detections import Detections
from fluent_plugin_amp.pipeline.combine.incidents import Incidents
from fluent_plugin_amp.pipeline.combine.member import Emission, Member
from fluent_plugin_amp.pipeline.combine.rows import (
    CLOCK,
    HEAD,
    PART,
    PLACE,
    KeptRows,
    Rows,
    encode_member,
    member_name,
    unsent_name,
)

Item = TypeVar("Item")

Post = Callable[[Delivery, str, int, int, Record], None]
"""`Conductor.post_combined`."""

_encode = msgspec.msgpack.encode
CLOCK_TOLERANCE_NS = 86400 * 10**9
"""A stream's clock may be so much ahead of ours, which may have been set back."""
_SECOND = 10**9


class Keeper(Protocol):
    """Keeps rows through a crash."""

    def put(self, rows: Rows, done: Callable[[], None]) -> None:
        """Keep these; ``done`` is called when they are safe, however long that takes; in the order of the calls."""

    async def load(self) -> dict[tuple[str, str], bytes]:
        """Everything that is kept, as soon as it can be had."""

    def set_aside(self, keys: list[tuple[str, str]]) -> None:
        """Nobody can make anything of these rows: report them, and keep them where nobody looks for rows."""


class Combiner:
    """Makes detections and incidents of delivered events, and sees to it that servers get them.

    Args:
        detections: None: they are not wanted.
        incidents: None: they are not wanted.
        tags: of the records, by `Emission.kind`.
        delivered: remembers events.
        keeper: None: nothing outlives the process; else what is recorded waits for `restore`.
        post: sends a combined record.
        clock: seconds since the epoch.
        tell: hears of what nobody foresaw.
    """

    closed = False

    def __init__(
        self,
        detections: Detections | None,
        incidents: Incidents | None,
        tags: Mapping[str, str],
        delivered: Delivered,
        keeper: Keeper | None = None,
        *,
        post: Post,
        clock: Callable[[], float] = time.time,
        tell: Observer = lambda fact: None,
    ) -> None:
        self._post = post
        self._detections = detections
        self._incidents = incidents
        self._tags = tags
        self._delivered = delivered
        self._keeper = keeper
        self.clock = clock
        self._early: list[tuple[list[Delivery], Pending]] = []  # came before `restore`
        self._tell = tell
        self.is_ready = keeper is None
        """What was kept was taken up again; until then nothing that comes is combined."""
        self._unsent: dict[int, Emission] = {}
        self._next_number = 1
        self._consuming_since: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}
        self.wants_facts = delivered.wants_facts

    # --- model.Delivered ---------------------------------------------------------------------------------------

    def contains(self, stream: str, digest: bytes) -> bool:
        """See `model.Delivered`."""
        return self._delivered.contains(stream, digest)

    def record(self, deliveries: list[Delivery]) -> Pending | None:
        """See `model.Delivered`; what takes part in something is safe when its part is safe, too."""
        taking_part = [delivery for delivery in deliveries if delivery.member is not None]
        if not taking_part:
            return self._delivered.record(deliveries)
        if not self.is_ready:
            early = Pending()
            self._early.append((deliveries, early))
            return early
        now = self.clock()
        for delivery in taking_part:
            self._add(delivery.stream, delivery.member, now)
        if self._keeper is None:
            remembered = self._delivered.record(deliveries)
            self._send(self._emissions())
            return remembered
        # Both within one turn of the loop, so that they are committed together.
        kept = None
        try:
            kept = self._keep()
        except Exception as exc:  # the domain of their parts in combined records
            self._tell(InternalError("combining", exc))
        return Pending.both(kept, self._delivered.record(deliveries))

    @property
    def closed_early(self) -> int:
        """Detections and incidents written before their time, for lack of room."""
        return sum(each.closed_early for each in (self._detections, self._incidents) if each is not None)

    @property
    def detections_open(self) -> int | None:
        """Detections that were never written; None: there are to be none."""
        return None if self._detections is None else self._detections.waiting

    @property
    def incidents_open(self) -> int | None:
        """Incidents that are open; None: there are to be none."""
        return None if self._incidents is None else len(self._incidents)

    # --- time --------------------------------------------------------------------------------------------------

    def tick(self, consuming: Iterable[str], idle: Iterable[str], monotonic_s: float) -> None:
        """Do what is due.

        ``consuming``: streams that get what is in their queues; ``idle``: those of them that brought nothing since
        the last tick.
        """
        if not self.is_ready:
            return
        if self._detections is not None:
            self._detections.tick(self.clock())
        if self._incidents is not None:
            self._incidents.watch_s = monotonic_s
            self._consuming_since = {name: self._consuming_since.get(name, monotonic_s) for name in consuming}
            for stream, since in self._consuming_since.items():
                self._incidents.close_quiet(stream, since)
            self._idle_since = {stream: self._idle_since.get(stream, monotonic_s) for stream in idle}
            for stream, since in self._idle_since.items():
                if monotonic_s - since >= self._incidents.patience_s:
                    self._incidents.close_idle(stream)
        self._keep()

    def finish(self) -> None:
        """No more events will come: what is not kept is written as it is."""
        if self._keeper is None:
            for each in (self._detections, self._incidents):
                if each is not None:
                    each.flush()
        self._keep()

    def forget(self, stream: str) -> None:
        """Forget what is open of a stream; what was made is sent all the same."""
        for each in (self._detections, self._incidents):
            if each is not None:
                each.forget(stream)
        self._idle_since.pop(stream, None)
        self._keep()
        if self._keeper is not None and self._incidents is not None:
            self._keeper.put({(stream, CLOCK): None}, lambda: None)

    # --- what is kept ------------------------------------------------------------------------------------------

    def restore(self, rows: Mapping[tuple[str, str], bytes]) -> None:
        """Go on where the last process ended, with what it kept; records that no server has are sent again."""
        kept = KeptRows(rows, int(self.clock() * _SECOND) + CLOCK_TOLERANCE_NS)
        if self._incidents is not None:
            self._incidents.clocks.update(kept.clocks)
            for stream, member, by in kept.places:
                self._incidents.restore(stream, member, by, self.clock())
        if self._detections is not None:
            for stream, detection_id, head in kept.heads:
                self._detections.restore(stream, detection_id, head, kept.parts[stream, detection_id])
        if kept.garbled and self._keeper is not None:
            self._keeper.set_aside(kept.garbled)
        if kept.renamed and self._keeper is not None:
            self._keeper.put(kept.renamed, lambda: None)  # before anything that removes them
        emissions = [emission for emission in kept.emissions if emission.kind in self._tags]
        self.is_ready = True
        self._send(emissions)
        early, self._early = self._early, []
        for deliveries, pending in early:
            recorded = None
            with contained("memory", self._tell):  # as in `Recorder`: servers have them, so nothing holds them up
                recorded = self.record(deliveries)
            if recorded is None:
                pending.is_safe_now()
            else:
                recorded.then(pending.is_safe_now)

    def _keep(self) -> Pending | None:
        """Keep what changed, then send what there is to send; None: nothing changed that is to be kept."""
        emissions = self._emissions()
        rows = self._changed_rows()
        for emission in emissions:
            rows[emission.stream, unsent_name(emission)] = msgspec.json.encode(emission)
        if self._keeper is None:
            self._send(emissions)
            return None
        if not rows:
            return None
        kept = Pending()
        self._keeper.put(rows, partial(self._kept, kept, emissions))
        return kept

    def _kept(self, pending: Pending, emissions: list[Emission]) -> None:
        pending.is_safe_now()
        self._send(emissions)

    def _changed_rows(self) -> Rows:
        rows: Rows = {}
        if self._detections is not None:
            for stream, detection_id, head, members in _taken(self._detections.changes):
                rows[stream, HEAD + detection_id] = None if head is None else _encode(tuple(head))
                for member in members:
                    rows[stream, member_name(PART, member)] = None if head is None else encode_member(member)
        if self._incidents is not None:
            # An event that left several groups at once changed several times.
            changed = {(stream, member.digest): member for stream, member in _taken(self._incidents.changes)}
            for (stream, _), member in changed.items():
                by = self._incidents.places(stream, member)
                rows[stream, member_name(PLACE, member)] = encode_member(member, by) if by else None
            for stream in {stream for stream, _ in changed} & self._incidents.clocks.keys():
                rows[stream, CLOCK] = _encode(self._incidents.clocks[stream])
        return rows

    # --- sending -----------------------------------------------------------------------------------------------

    def resolve(self, delivery_tag: int) -> None:
        """See `model.Ledger`: a server has a combined record."""
        emission = self._unsent.pop(delivery_tag, None)  # one whose answer failed was sent twice
        if emission is not None and self._keeper is not None:
            self._keeper.put({(emission.stream, unsent_name(emission)): None}, lambda: None)

    def _add(self, stream: str, member: Member, now: float) -> None:
        with contained("combining", self._tell):  # the domain of this event's part
            if self._detections is not None and member.is_combined:
                self._detections.add(stream, member, now)
            if self._incidents is not None:
                self._incidents.add(stream, member, now)

    def _emissions(self) -> list[Emission]:
        emissions: list[Emission] = []
        for each in (self._detections, self._incidents):
            if each is not None:
                emissions += _taken(each.emissions)
        return emissions

    def _send(self, emissions: Iterable[Emission]) -> None:
        for emission in emissions:
            number, self._next_number = self._next_number, self._next_number + 1
            self._unsent[number] = emission
            body = msgspec.json.encode(emission.record)
            delivery = Delivery(emission.stream, self, number, body, is_combined=True, received_at=self.clock())
            tag = self._tags[emission.kind]
            self._post(delivery, tag, emission.seconds, emission.nanoseconds, dict(emission.record))


def _taken(items: list[Item]) -> list[Item]:
    """What is there, taken before anything is made of it: what fails once is not met again."""
    taken = items.copy()
    items.clear()
    return taken
