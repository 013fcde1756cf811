"""Joins the ends: deliveries of all streams in, chunks to the sink out, answers back to the ledgers.

Invariants kept here, whatever the order in which things happen:

* A delivery is resolved once, after every chunk that holds a part of it was acked by a server, and after that is
  remembered (`model.Delivered`), which may take a moment.
* An event is never dropped.  What cannot be a record becomes a dead letter, and its delivery is resolved when
  the letter is acked, or kept for later (`model.DeadLetterStore`); otherwise it stays unresolved.
* A redelivered event that was delivered before is resolved without being sent; one whose first copy is still
  on its way shares that copy's outcome.
* `total_held_bytes` is what bodies and packed entries take, from arrival until resolved or forgotten.
* What nobody foresaw costs one event, which becomes a dead letter.  On the way of a chunk or of an answer, what it
  was about is forgotten here and stays unacked: the broker delivers it again.

One loop, no locks.  An event takes one straight path: `receive` decodes, transforms, packs and batches it within
the callback that brought it; `pump` runs in the loop's next turn, when everything that arrived together is batched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.errors import EventRefusedByServer, InvalidEvent
from fluent_plugin_amp.facts import DeadLettered, InternalError, Observer
from fluent_plugin_amp.model import (
    Answer,
    Chunk,
    Counters,
    DeadLetterStore,
    Delivered,
    Delivery,
    Outcome,
    Record,
    Sink,
)
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.dead_letters import MIN_PART_BYTES, dead_letter
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory, digest_of, identity_of
from fluent_plugin_amp.pipeline.invalid import NOT_PACKED, as_invalid, not_packed
from fluent_plugin_amp.pipeline.obfuscate import mask_delivery
from fluent_plugin_amp.pipeline.transform import Transform

EAGER_BYTES = 128 * 1024
"""While chunks are in flight, the next one leaves when it has grown to this: few, large chunks under load."""

AGAIN_AFTER_S = 60.0
"""A combined record whose chunk failed is sent again after that."""

Encode = Callable[[int, int, Record], bytes]
"""(seconds, nanoseconds, record) → a packed entry; one of `NOT_PACKED` where msgpack cannot carry it."""


@dataclass(slots=True)
class Line:
    """What the conductor keeps for one stream."""

    transform: Transform
    counters: Counters = field(default_factory=Counters)
    in_flight: dict[bytes, Delivery] = field(default_factory=dict)
    """The first copy of each event that is on its way, by digest."""
    held_bytes: int = 0


@dataclass(slots=True)
class _Letter:
    """A dead letter on its way; refused or forgotten in part, it is so as a whole."""

    error: InvalidEvent
    part_bytes: int
    is_kept: bool = False
    """It comes from the shelf, and is safe there."""
    is_refused: bool = False
    is_forgotten: bool = False
    refusals_at_smallest: int = 0
    next_try: asyncio.TimerHandle | None = None


class Conductor:
    """See the module.

    Args:
        transforms: of each stream, by its name.
        sink: takes the chunks; its callbacks are connected here.
        encode: packs an entry.
        batcher: collects entries.
        observer: hears of dead letters.
        dead_letter_tag: of their records.
        dead_letter_part_bytes: of the original body in one record, at first.
        raw_dead_letters: dead letters hold their original body even where events are obfuscated.
        delivered: remembers what was delivered; None: for as long as the process lives.
        shelf: keeps dead letters that no server takes; None: their deliveries stay unresolved.
    """

    def __init__(
        self,
        transforms: dict[str, Transform],
        sink: Sink,
        encode: Encode,
        batcher: Batcher,
        observer: Observer,
        *,
        dead_letter_tag: str,
        dead_letter_part_bytes: int,
        raw_dead_letters: bool = False,
        delivered: Delivered | None = None,
        shelf: DeadLetterStore | None = None,
        eager_bytes: int = EAGER_BYTES,
    ) -> None:
        self.lines = {name: Line(transform) for name, transform in transforms.items()}
        self.total_held_bytes = 0
        self.acked_chunks = 0
        self.on_available: Callable[[], None] = lambda: None
        """Called when the sink becomes available, or ceases to be."""
        self._sink = sink
        self._encode = encode
        self._batcher = batcher
        self._observer = observer
        self._dead_letter_tag = dead_letter_tag
        self._dead_letter_part_bytes = dead_letter_part_bytes
        self._raw_dead_letters = raw_dead_letters
        self.delivered: Delivered = DeliveredMemory() if delivered is None else delivered
        """Remembers what was delivered."""
        self.combines = False
        """Whether events' parts in combined records are made."""
        self._wants_facts = self.delivered.wants_facts
        self._shelf = shelf
        self._eager_bytes = eager_bytes
        self._finished: list[Delivery] = []  # servers have all of them; given to `_delivered` in one go
        self._unrecorded: set[Delivery] = set()  # given to `delivered`, which has not answered for them
        self._letters: dict[Delivery, _Letter] = {}
        self._pump_scheduled = False
        self._was_available = False
        sink.on_answer = self.on_answer
        sink.on_change = self.on_sink_change

    # --- what comes and goes ---------------------------------------------------------------------

    def use(self, sink: Sink) -> None:
        """From now on chunks go to this sink; the one before may still answer."""
        self._sink = sink
        sink.on_answer = self.on_answer
        sink.on_change = self.on_sink_change
        self.on_sink_change()

    def open(self, stream: str, transform: Transform) -> None:
        """A stream comes, or goes on with another transform."""
        if stream in self.lines:
            self.lines[stream].transform = transform
        else:
            self.lines[stream] = Line(transform)

    def close(self, stream: str) -> bool:
        """Forget a stream that has gone; False while there is something of it on its way."""
        line = self.lines[stream]
        if line.held_bytes or line.in_flight:
            return False
        del self.lines[stream]
        return True

    # --- what streams need to know ---------------------------------------------------------------

    def counters(self, stream: str) -> Counters:
        """What was counted of one stream."""
        return self.lines[stream].counters

    def held_bytes(self, stream: str) -> int:
        """Bodies and packed entries of one stream."""
        return self.lines[stream].held_bytes

    @property
    def available(self) -> bool:
        """A server is connected and not in doubt."""
        return self._sink.available

    @property
    def sink_in_flight(self) -> int:
        """Chunks that wait for an answer."""
        return self._sink.in_flight

    @property
    def idle(self) -> bool:
        """Nothing waits anywhere."""
        return not (self._batcher or self._sink.in_flight or self._letters or self._unrecorded)

    # --- forward: a delivery ---------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Take one delivery the whole way into a batch."""
        line = self.lines[delivery.stream]
        body = delivery.body
        counters = line.counters
        counters.received += 1
        counters.received_bytes += len(body)
        delivery.digest = digest = digest_of(body)
        if delivery.redelivered and self._is_known(line, delivery):
            counters.duplicates += 1
            return
        try:
            record = decode(body)
            seconds, nanoseconds = event_time(record, delivery.received_at)
            if self.combines and line.transform.combine is not None:
                try:
                    delivery.member = line.transform.combine(record, seconds, nanoseconds, digest)
                except Exception as exc:  # the domain of its part in combined records
                    self._observer(InternalError("combining", exc))
            if counters.newest_event_at < seconds <= delivery.received_at:
                counters.newest_event_at = seconds
            transformed = line.transform(record, delivery.pulled_at or delivery.received_at)
            if transformed is None:
                counters.dropped += 1
                delivery.ledger.resolve(delivery.delivery_tag)
                return
            if self._wants_facts:  # obfuscation, which changes the event itself, comes first
                delivery.facts = identity_of(record, seconds, nanoseconds)
            tag, record = transformed
            try:
                entry = self._encode(seconds, nanoseconds, record)
            except NOT_PACKED as exc:
                raise not_packed(exc) from exc
        except Exception as exc:  # the domain of this event
            line.in_flight[digest] = delivery
            self._bury_for(line, delivery, exc)
            return
        line.in_flight[digest] = delivery
        delivery.parts = 1
        try:
            self._hold(line, delivery, len(body) + len(entry))
            self._batcher.add(tag, entry, delivery)
        except BaseException:  # it goes back to the broker, and no copy of it must wait for this one
            self._release(line, delivery)
            raise
        if not self._pump_scheduled:
            self._schedule_pump()

    def post_combined(self, delivery: Delivery, tag: str, seconds: int, nanoseconds: int, record: Record) -> None:
        """Send a combined record, in the form of its stream's events.

        ``delivery`` is `Delivery.is_combined`, and has the record as JSON for its body: where the record cannot be
        sent, it becomes a dead letter.  It is resolved when a server has it.
        """
        if delivery.stream not in self.lines:  # not configured any more
            self.lines[delivery.stream] = Line(Transform(delivery.stream))
        line = self.lines[delivery.stream]
        try:
            shaped = line.transform.shape(record)
            try:
                entry = self._encode(seconds, nanoseconds, shaped)
            except NOT_PACKED as exc:
                raise not_packed(exc) from exc
        except Exception as exc:  # the domain of this record
            self._bury_for(line, delivery, exc)
            return
        delivery.parts = 1
        self._hold(line, delivery, len(delivery.body) + len(entry))
        self._batcher.add(tag, entry, delivery)
        if not self._pump_scheduled:
            self._schedule_pump()

    def pump(self) -> None:
        """Give chunks to the sink while it takes them.

        With nothing in flight whatever waits goes out at once; else a chunk waits until it is worth the overhead, or
        an answer comes.  A sink in doubt that takes a chunk needs it: no answer may come before.
        """
        self._pump_scheduled = False
        batcher, sink = self._batcher, self._sink
        while batcher and sink.room > 0:
            if batcher.pending_bytes < self._eager_bytes and sink.in_flight and sink.available:
                return
            chunk = batcher.take()
            assert chunk is not None
            try:
                sink.send(chunk)
            except Exception as exc:  # the domain of this chunk
                self._contain("chunk", exc, chunk)

    def _is_known(self, line: Line, delivery: Delivery) -> bool:
        try:
            return self._is_duplicate(line, delivery)
        except Exception as exc:  # the domain of the memory: what it cannot tell is sent again
            self._observer(InternalError("memory", exc))
            return False

    def _is_duplicate(self, line: Line, delivery: Delivery) -> bool:
        first = line.in_flight.get(delivery.digest)
        if first is not None:
            delivery.body = b""  # the first copy has it
            if isinstance(first.twins, list):
                first.twins.append(delivery)
            else:
                first.twins = [delivery]
            return True
        if self.delivered.contains(delivery.stream, delivery.digest):
            delivery.ledger.resolve(delivery.delivery_tag)
            return True
        return False

    def _bury_for(self, line: Line, delivery: Delivery, exc: Exception) -> None:
        """Make a dead letter of what ``exc`` kept from being a record; what nobody foresaw is told, too."""
        error = as_invalid(exc)
        if error is not exc:
            self._observer(InternalError("event", exc))
        try:
            self._dead_letter(line, delivery, error)
        except Exception as again:  # not even that: it stays unacked, and others do not
            self._observer(InternalError("dead letter", again))
            self._release(line, delivery)

    def _contain(self, where: str, exc: Exception, chunk: Chunk) -> None:
        """Tell, and forget what the chunk holds: when the broker delivers that again, it is no copy of anything."""
        self._observer(InternalError(where, exc))
        for entry, delivery in zip(chunk.entries, chunk.deliveries, strict=True):
            letter = self._letters.get(delivery)
            self._release(self.lines[delivery.stream], delivery)
            if letter is not None and letter.is_kept and self._shelf is not None:
                self._shelf.refused(delivery)  # no broker delivers it again, and the next one waits for its answer
            elif delivery.is_combined and not chunk.is_dead_letters:  # nor this one
                again = partial(self._send_again, chunk.tag, entry, delivery)
                asyncio.get_running_loop().call_later(AGAIN_AFTER_S, again)

    def _send_again(self, tag: str, entry: bytes, delivery: Delivery) -> None:
        """A combined record whose chunk failed."""
        line = self.lines.setdefault(delivery.stream, Line(Transform(delivery.stream)))
        delivery.parts = 1
        self._hold(line, delivery, len(delivery.body) + len(entry))
        self._batcher.add(tag, entry, delivery)
        if not self._pump_scheduled:
            self._schedule_pump()

    def _schedule_pump(self) -> None:
        self._pump_scheduled = True
        asyncio.get_running_loop().call_soon(self.pump)

    # --- dead letters ----------------------------------------------------------------------------

    def _dead_letter(self, line: Line, delivery: Delivery, error: InvalidEvent) -> None:
        """Make a dead letter of a delivery none of whose parts is on its way."""
        letter = self._letters[delivery] = _Letter(error, self._dead_letter_part_bytes)
        line.counters.dead_letters += 1
        size = len(delivery.body)
        if line.transform.obfuscate is not None and not (self._raw_dead_letters or delivery.is_combined):
            mask_delivery(delivery)
        parts = self._post(delivery, letter)
        self._observer(DeadLettered(delivery.stream, error, size, parts))

    def post_kept(self, delivery: Delivery, error: InvalidEvent) -> None:
        """Send a dead letter from the shelf, in the smallest parts, since it was refused before.

        ``delivery`` is resolved when a server has it; when it is refused again, the shelf hears of it.
        """
        if delivery.stream not in self.lines:  # not configured any more
            self.lines[delivery.stream] = Line(Transform(delivery.stream))
        letter = self._letters[delivery] = _Letter(error, MIN_PART_BYTES, is_kept=True)
        try:
            self._post(delivery, letter)
        except Exception as exc:  # the domain of this letter: the others on the shelf go on
            self._observer(InternalError("dead letter", exc))
            self._release(self.lines[delivery.stream], delivery)
            if self._shelf is not None:
                self._shelf.refused(delivery)

    def _post(self, delivery: Delivery, letter: _Letter) -> int:
        """Batch the records of a dead letter; how many they are."""
        letter.is_refused = False
        letter.next_try = None
        seconds, fraction = divmod(delivery.received_at, 1)
        records = dead_letter(delivery, letter.error, letter.part_bytes)
        entries = [self._encode(int(seconds), int(fraction * 1e9), record) for record in records]
        delivery.parts = len(entries)
        self._hold(self.lines[delivery.stream], delivery, len(delivery.body) + sum(map(len, entries)))
        for entry in entries:
            self._batcher.add(self._dead_letter_tag, entry, delivery, is_dead_letter=True)
        if not self._pump_scheduled:
            self._schedule_pump()
        return len(entries)

    def _post_again(self, delivery: Delivery, letter: _Letter) -> None:
        """A server refused a part of a dead letter: all of it again in smaller parts; or it is kept; or later."""
        size = min(letter.part_bytes, len(delivery.body))
        if size > MIN_PART_BYTES:
            letter.part_bytes = max(MIN_PART_BYTES, size // 2)
            self._post(delivery, letter)
        elif self._shelf is None:
            self._post_later(delivery, letter)
        elif letter.is_kept:
            self._release(self.lines[delivery.stream], delivery)
            self._shelf.refused(delivery)
        else:
            self._shelf.keep(delivery, letter.error, partial(self._kept, delivery, letter))

    def _post_later(self, delivery: Delivery, letter: _Letter) -> None:
        letter.refusals_at_smallest += 1
        delay_s = backoff_s(letter.refusals_at_smallest, 0.0, first_s=1.0, cap_s=60.0)
        letter.next_try = asyncio.get_running_loop().call_later(delay_s, self._post, delivery, letter)

    def _kept(self, delivery: Delivery, letter: _Letter, is_kept: bool) -> None:
        """The shelf's answer: it has the letter, or could not take it."""
        if is_kept:
            self._finish(delivery)
            self._record_finished()
        else:
            self._post_later(delivery, letter)

    def _letter_answered(self, delivery: Delivery, letter: _Letter) -> None:
        """All parts of a dead letter are answered; the worst answer decides."""
        if letter.is_forgotten:
            self._release(self.lines[delivery.stream], delivery)
        elif letter.is_refused:
            self._post_again(delivery, letter)
        elif letter.is_kept:  # remembered as delivered since it was kept
            self.lines[delivery.stream].counters.delivered += 1
            self._release(self.lines[delivery.stream], delivery)
            delivery.ledger.resolve(delivery.delivery_tag)
        else:
            self._events_acked([delivery])

    # --- back: an answer -------------------------------------------------------------------------

    def on_answer(self, answer: Answer) -> None:
        """The sink's answer for a chunk, or for a part of one."""
        try:
            self._take_answer(answer)
        except Exception as exc:  # the domain of this chunk
            self._contain("answer", exc, answer.chunk)

    def _take_answer(self, answer: Answer) -> None:
        chunk = answer.chunk
        match answer.outcome:
            case Outcome.ACKED:
                self.acked_chunks += 1
                if chunk.is_dead_letters:
                    for delivery in chunk.deliveries:
                        self._part_answered(delivery)
                else:
                    self._events_acked(chunk.deliveries)
                self._record_finished()
            case Outcome.REFUSED:
                (delivery,) = chunk.deliveries
                if chunk.is_dead_letters:
                    self._letters[delivery].is_refused = True
                    self._part_answered(delivery)
                else:
                    error = EventRefusedByServer(f"{answer.server} refuses this event, and takes others")
                    self._dead_letter(self.lines[delivery.stream], delivery, error)
            case Outcome.SHED:
                for delivery in chunk.deliveries:
                    self._forget(delivery)

    def on_sink_change(self) -> None:
        """The sink takes more, or a server came or went."""
        available = self._sink.available
        if available is not self._was_available:
            self._was_available = available
            self.on_available()
        if self._batcher and not self._pump_scheduled:
            self._schedule_pump()

    def forget_requeued(self) -> None:
        """Free what belongs to deliveries that the broker has taken back."""
        for delivery in self._batcher.discard_requeued():
            self._forget(delivery)
        for delivery, letter in list(self._letters.items()):
            if letter.next_try is not None and delivery.is_requeued:
                letter.next_try.cancel()
                self._release(self.lines[delivery.stream], delivery)
        self._sink.shed()
        self._forget_lost()

    def _events_acked(self, deliveries: list[Delivery]) -> None:
        """A server has these, each of them in one part."""
        for delivery in deliveries:
            delivery.parts = 0
            if not delivery.is_combined:
                self.lines[delivery.stream].counters.delivered += 1
            self._finish(delivery)

    def _part_answered(self, delivery: Delivery) -> None:
        """One record of a dead letter."""
        delivery.parts -= 1
        if not delivery.parts:
            self._letter_answered(delivery, self._letters[delivery])

    def _finish(self, delivery: Delivery) -> None:
        """It needs nothing any more but to be remembered; until then, copies that arrive share its outcome."""
        if delivery.is_combined:
            self._release(self.lines[delivery.stream], delivery)
            delivery.ledger.resolve(delivery.delivery_tag)
            return
        self._hold(self.lines[delivery.stream], delivery, 0)
        self._letters.pop(delivery, None)
        delivery.body = b""
        self._finished.append(delivery)

    def _record_finished(self) -> None:
        if self._finished:
            finished, self._finished = self._finished, []
            self._unrecorded.update(finished)
            try:
                self.delivered.record(finished, self._recorded)
            except Exception as exc:  # the domain of the memory: servers have them, so they are acked all the same
                self._observer(InternalError("memory", exc))
                self._recorded(finished)

    def _recorded(self, deliveries: list[Delivery]) -> None:
        """These are remembered as delivered."""
        for delivery in deliveries:
            if delivery not in self._unrecorded:  # the memory failed after it had answered
                continue
            self._unrecorded.remove(delivery)
            try:
                self._no_longer_in_flight(self.lines[delivery.stream], delivery)
                delivery.ledger.resolve(delivery.delivery_tag)
                for twin in delivery.twins:
                    twin.ledger.resolve(twin.delivery_tag)
            except Exception as exc:  # the domain of this delivery: it stays unacked, and others do not
                self._observer(InternalError("answer", exc))

    def _forget(self, delivery: Delivery) -> None:
        """One part of a requeued delivery is gone: what the broker delivers again is not its copy any more."""
        line = self.lines[delivery.stream]
        self._no_longer_in_flight(line, delivery)
        letter = self._letters.get(delivery)
        if letter is None:
            self._release(line, delivery)
        else:
            letter.is_forgotten = True
            self._part_answered(delivery)

    def _forget_lost(self) -> None:
        """What was requeued, and a fault took out of every chunk: copies would wait for its outcome for ever."""
        requeued = [
            (line, delivery)
            for line in self.lines.values()
            for delivery in line.in_flight.values()
            if delivery.is_requeued and delivery.held_bytes
        ]
        if requeued:
            chunks = (*self._batcher.held(), *self._sink.held())
            held = {delivery for chunk in chunks for delivery in chunk.deliveries}
            for line, delivery in requeued:
                if delivery not in held:
                    self._release(line, delivery)

    # --- memory ----------------------------------------------------------------------------------

    def _hold(self, line: Line, delivery: Delivery, size: int) -> None:
        """The delivery takes ``size`` bytes from now on."""
        more = size - delivery.held_bytes
        delivery.held_bytes = size
        line.held_bytes += more
        self.total_held_bytes += more

    def _release(self, line: Line, delivery: Delivery) -> None:
        self._hold(line, delivery, 0)
        self._letters.pop(delivery, None)
        self._no_longer_in_flight(line, delivery)

    def _no_longer_in_flight(self, line: Line, delivery: Delivery) -> None:
        if line.in_flight.get(delivery.digest) is delivery:
            del line.in_flight[delivery.digest]
