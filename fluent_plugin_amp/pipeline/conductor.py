"""Joins the ends: deliveries of all streams in, chunks to the sink out, answers back to the ledgers.

Invariants kept here, whatever the order in which things happen:

* A delivery is resolved once: when servers acked every chunk that holds a part of it, and that is remembered
  (`model.Delivered`), which may take a moment.
* An event is never dropped.  What cannot be a record becomes a dead letter (`DeadLetterSender`).  Its delivery is
  resolved when the letter is acked, or kept for later; otherwise it stays unresolved.
* A redelivered event that was delivered before is resolved without being sent; one whose first copy is still
  on its way shares that copy's outcome.
* `total_held_bytes` is what bodies and packed entries take, from arrival until resolved or forgotten.
* An exception that nobody foresaw costs one event, which becomes a dead letter.  Where it concerns a chunk or an
  answer, the events of that chunk are forgotten here and stay unacked: the broker delivers them again.

One loop, no locks.  An event takes one straight path: `receive` decodes, transforms, packs and batches it within
the callback that brought it; `pump` runs in the loop's next turn, when everything that arrived together is batched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from fluent_plugin_amp.containment import contained
from fluent_plugin_amp.errors import EventRefusedByServer
from fluent_plugin_amp.facts import InternalError, Observer
from fluent_plugin_amp.model import (
    Answer,
    Chunk,
    DeadLetterStore,
    Delivered,
    Delivery,
    Outcome,
    Record,
    Sink,
)
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.dead_letter_sender import DeadLetterSender, Encode
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory, digest_of, identity_of
from fluent_plugin_amp.pipeline.invalid import NOT_PACKED, not_packed
from fluent_plugin_amp.pipeline.lines import Line, Lines
from fluent_plugin_amp.pipeline.recorder import Recorder
from fluent_plugin_amp.pipeline.transform import Transform

EAGER_BYTES = 128 * 1024
"""While chunks are in flight, the next one leaves when it has grown to this: few, large chunks under load."""

AGAIN_AFTER_S = 60.0
"""A combined record whose chunk failed is sent again after that."""


class Conductor(Lines):
    """Takes the deliveries of all streams, sends chunks, and has each delivery resolved when it is safe.

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
        combines: it wants events' parts in combined records, too.
        on_available: called when the sink becomes available, or ceases to be.
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
        combines: bool = False,
        on_available: Callable[[], None] = lambda: None,
        shelf: DeadLetterStore | None = None,
        eager_bytes: int = EAGER_BYTES,
    ) -> None:
        super().__init__(transforms)
        self.acked_chunks = 0
        self._on_available = on_available
        self._sink = sink
        self._encode = encode
        self._batcher = batcher
        self._observer = observer
        self._delivered: Delivered = DeliveredMemory() if delivered is None else delivered
        self._combines = combines
        self._wants_facts = self._delivered.wants_facts
        self._eager_bytes = eager_bytes
        self._recorder = Recorder(self, self._delivered, observer, combines=combines)
        self._dead_letters = DeadLetterSender(
            self,
            encode,
            self._batch,
            self._recorder.record_one,
            observer,
            tag=dead_letter_tag,
            part_bytes=dead_letter_part_bytes,
            raw=raw_dead_letters,
            shelf=shelf,
        )
        self.post_kept = self._dead_letters.send_kept
        """Sends a dead letter from the shelf."""
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

    # --- what streams need to know ---------------------------------------------------------------

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
        return not (self._batcher or self._sink.in_flight or self._dead_letters or self._recorder)

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
            if self._combines and line.transform.combine is not None:
                try:
                    delivery.member = line.transform.combine(record, seconds, nanoseconds, digest)
                except Exception as exc:  # the domain of its part in combined records
                    self._observer(InternalError("combining", exc))
            if (ask := line.transform.ask) is not None:
                try:
                    delivery.ask = ask(record)
                except Exception as exc:  # the domain of its hunt
                    self._observer(InternalError("hunts", exc))
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
            self._dead_letters.send_instead(line, delivery, exc)
            return
        line.in_flight[digest] = delivery
        delivery.parts = 1
        try:
            self.hold(line, delivery, len(body) + len(entry))
            self._batcher.add(tag, entry, delivery)
        except BaseException:  # it goes back to the broker, and no copy of it must wait for this one
            self.release(line, delivery)
            raise
        if not self._pump_scheduled:
            self._schedule_pump()

    def post_combined(self, delivery: Delivery, tag: str, seconds: int, nanoseconds: int, record: Record) -> None:
        """Send a combined record, in the form of its stream's events.

        ``delivery`` is `Delivery.is_combined`, and has the record as JSON for its body: where the record cannot be
        sent, it becomes a dead letter.  It is resolved when a server has it.
        """
        line = self.line_of(delivery.stream)
        try:
            shaped = line.transform.shape(record)
            try:
                entry = self._encode(seconds, nanoseconds, shaped)
            except NOT_PACKED as exc:
                raise not_packed(exc) from exc
        except Exception as exc:  # the domain of this record
            self._dead_letters.send_instead(line, delivery, exc)
            return
        self._batch(tag, [entry], delivery)

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
        with contained("memory", self._observer):  # what it cannot tell is sent again
            return self._is_duplicate(line, delivery)
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
        if self._delivered.contains(delivery.stream, delivery.digest):
            delivery.ledger.resolve(delivery.delivery_tag)
            return True
        return False

    def _contain(self, where: str, exc: Exception, chunk: Chunk) -> None:
        """Tell, and forget what the chunk holds.  When the broker delivers it again, that is no copy of anything."""
        self._observer(InternalError(where, exc))
        for entry, delivery in zip(chunk.entries, chunk.deliveries, strict=True):
            is_on_shelf = self._dead_letters.lost(delivery)
            if delivery.is_combined and not (is_on_shelf or chunk.is_dead_letters):  # no broker delivers it again
                again = partial(self._batch, chunk.tag, [entry], delivery)
                asyncio.get_running_loop().call_later(AGAIN_AFTER_S, again)

    def _batch(self, tag: str, entries: Sequence[bytes], delivery: Delivery, *, is_dead_letter: bool = False) -> None:
        """Put all parts of a delivery on their way; `receive` does the same, without the calls."""
        delivery.parts = len(entries)
        self.hold(self.line_of(delivery.stream), delivery, len(delivery.body) + sum(map(len, entries)))
        for entry in entries:
            self._batcher.add(tag, entry, delivery, is_dead_letter=is_dead_letter)
        if not self._pump_scheduled:
            self._schedule_pump()

    def _schedule_pump(self) -> None:
        self._pump_scheduled = True
        asyncio.get_running_loop().call_soon(self.pump)

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
                        self._dead_letters.acked(delivery)
                else:
                    self._events_acked(chunk.deliveries)
                self._recorder.record()
            case Outcome.REFUSED:
                (delivery,) = chunk.deliveries
                if chunk.is_dead_letters:
                    self._dead_letters.refused(delivery)
                else:
                    error = EventRefusedByServer(f"{answer.server} refuses this event, and takes others")
                    self._dead_letters.send(self.lines[delivery.stream], delivery, error)
            case Outcome.SHED:
                for delivery in chunk.deliveries:
                    self._forget(delivery)

    def on_sink_change(self) -> None:
        """The sink takes more, or a server came or went."""
        available = self._sink.available
        if available is not self._was_available:
            self._was_available = available
            self._on_available()
        if self._batcher and not self._pump_scheduled:
            self._schedule_pump()

    def forget_requeued(self) -> None:
        """Free what belongs to deliveries that the broker has taken back."""
        for delivery in self._batcher.discard_requeued():
            self._forget(delivery)
        self._dead_letters.forget_requeued()
        self._sink.shed()
        self._forget_lost()

    def _events_acked(self, deliveries: list[Delivery]) -> None:
        """A server has these, each of them in one part."""
        for delivery in deliveries:
            delivery.parts = 0
            if not delivery.is_combined:
                self.lines[delivery.stream].counters.delivered += 1
            self._recorder.finished(delivery)

    def _forget(self, delivery: Delivery) -> None:
        """One part of a requeued delivery is gone.  When the broker delivers it again, that is no copy any more."""
        line = self.lines[delivery.stream]
        self.no_longer_in_flight(line, delivery)
        if not self._dead_letters.forgotten(delivery):
            self.release(line, delivery)

    def _forget_lost(self) -> None:
        """Free requeued deliveries that a fault took out of every chunk: their copies would wait for ever."""
        requeued = [
            delivery
            for line in self.lines.values()
            for delivery in line.in_flight.values()
            if delivery.is_requeued and delivery.held_bytes
        ]
        if requeued:
            chunks = (*self._batcher.held(), *self._sink.held())
            held = {delivery for chunk in chunks for delivery in chunk.deliveries}
            for delivery in requeued:
                if delivery not in held:
                    self._dead_letters.lost(delivery)
