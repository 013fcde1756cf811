"""Sends dead letters, and decides what becomes of one that a server refuses.

A refused letter is sent again in smaller parts.  When the smallest parts are refused, the letter is kept for later
(`model.DeadLetterStore`), or sent again after a while where nothing can keep it.

Invariant: a letter is answered as a whole, after all of its parts.  The worst answer decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.errors import InvalidEvent
from fluent_plugin_amp.facts import DeadLettered, InternalError, Observer
from fluent_plugin_amp.model import DeadLetterStore, Delivery, Record
from fluent_plugin_amp.pipeline.dead_letters import MIN_PART_BYTES, dead_letter
from fluent_plugin_amp.pipeline.invalid import as_invalid
from fluent_plugin_amp.pipeline.lines import Line, Lines
from fluent_plugin_amp.pipeline.obfuscate import mask_delivery

Encode = Callable[[int, int, Record], bytes]
"""(seconds, nanoseconds, record) → a packed entry; one of `NOT_PACKED` where msgpack cannot carry it."""


class Batch(Protocol):
    """Puts the entries of one delivery on their way."""

    def __call__(
        self, tag: str, entries: Sequence[bytes], delivery: Delivery, *, is_dead_letter: bool = False
    ) -> None:
        """Their order is kept."""


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


class DeadLetterSender:
    """The dead letters that are on their way, of all streams.

    Args:
        lines: of all streams.
        encode: packs an entry.
        batch: takes the parts of a letter.
        finish: takes a delivery whose letter is safe: it is to be remembered, and resolved.
        observer: hears of dead letters.
        tag: of their records.
        part_bytes: of the original body in one record, at first.
        raw: they hold their original body even where events are obfuscated.
        shelf: keeps those that no server takes; None: nothing does.
    """

    def __init__(
        self,
        lines: Lines,
        encode: Encode,
        batch: Batch,
        finish: Callable[[Delivery], None],
        observer: Observer,
        *,
        tag: str,
        part_bytes: int,
        raw: bool,
        shelf: DeadLetterStore | None,
    ) -> None:
        self._lines = lines
        self._encode = encode
        self._batch = batch
        self._finish = finish
        self._observer = observer
        self._tag = tag
        self._part_bytes = part_bytes
        self._raw = raw
        self._shelf = shelf
        self._letters: dict[Delivery, _Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    # --- there -----------------------------------------------------------------------------------

    def send_instead(self, line: Line, delivery: Delivery, exc: Exception) -> None:
        """Send a dead letter of what ``exc`` kept from being a record; what nobody foresaw is told, too."""
        error = as_invalid(exc)
        if error is not exc:
            self._observer(InternalError("event", exc))
        try:
            self.send(line, delivery, error)
        except Exception as again:  # not even that: it stays unacked, and others do not
            self._observer(InternalError("dead letter", again))
            self.lost(delivery)

    def send(self, line: Line, delivery: Delivery, error: InvalidEvent) -> None:
        """Send a dead letter of a delivery none of whose parts is on its way."""
        letter = self._letters[delivery] = _Letter(error, self._part_bytes)
        line.counters.dead_letters += 1
        size = len(delivery.body)
        if line.transform.obfuscate is not None and not (self._raw or delivery.is_combined):
            mask_delivery(delivery)
        parts = self._post(delivery, letter)
        self._observer(DeadLettered(delivery.stream, error, size, parts))

    def send_kept(self, delivery: Delivery, error: InvalidEvent) -> None:
        """Send a dead letter from the shelf, in the smallest parts, since it was refused before.

        ``delivery`` is resolved when a server has it; when it is refused again, the shelf hears of it.
        """
        self._lines.line_of(delivery.stream)
        letter = self._letters[delivery] = _Letter(error, MIN_PART_BYTES, is_kept=True)
        try:
            self._post(delivery, letter)
        except Exception as exc:  # the domain of this letter: the others on the shelf go on
            self._observer(InternalError("dead letter", exc))
            self.lost(delivery)

    def _post(self, delivery: Delivery, letter: _Letter) -> int:
        """Batch the records of a dead letter; how many they are."""
        letter.is_refused = False
        letter.next_try = None
        seconds, fraction = divmod(delivery.received_at, 1)
        records = dead_letter(delivery, letter.error, letter.part_bytes)
        entries = [self._encode(int(seconds), int(fraction * 1e9), record) for record in records]
        self._batch(self._tag, entries, delivery, is_dead_letter=True)
        return len(entries)

    # --- back ------------------------------------------------------------------------------------

    def acked(self, delivery: Delivery) -> None:
        """A server has one part."""
        self._part_answered(delivery, self._letters[delivery])

    def refused(self, delivery: Delivery) -> None:
        """Servers refuse one part."""
        letter = self._letters[delivery]
        letter.is_refused = True
        self._part_answered(delivery, letter)

    def forgotten(self, delivery: Delivery) -> bool:
        """One part of a requeued delivery is gone; False: that was no dead letter."""
        letter = self._letters.get(delivery)
        if letter is None:
            return False
        letter.is_forgotten = True
        self._part_answered(delivery, letter)
        return True

    def forget_requeued(self) -> None:
        """Free the letters that wait for their next try, and whose deliveries the broker has taken back."""
        for delivery, letter in list(self._letters.items()):
            if letter.next_try is not None and delivery.is_requeued:
                letter.next_try.cancel()
                self._release(delivery)

    def lost(self, delivery: Delivery) -> bool:
        """A fault took this delivery off its way: free it; True: it is on the shelf, which sends it again."""
        letter = self._letters.get(delivery)
        self._release(delivery)
        if letter is None or not letter.is_kept or self._shelf is None:
            return False
        self._shelf.refused(delivery)  # no broker delivers it again, and the next one waits for its answer
        return True

    def _part_answered(self, delivery: Delivery, letter: _Letter) -> None:
        delivery.parts -= 1
        if delivery.parts:
            return
        if letter.is_forgotten:
            self._release(delivery)
        elif letter.is_refused:
            self._post_again(delivery, letter)
        else:
            if not delivery.is_combined:
                self._lines.counters(delivery.stream).delivered += 1
            if letter.is_kept:  # remembered as delivered since it was kept
                self._release(delivery)
                delivery.ledger.resolve(delivery.delivery_tag)
            else:
                self._safe(delivery)

    def _post_again(self, delivery: Delivery, letter: _Letter) -> None:
        """A server refused a part: all of the letter again in smaller parts; or it is kept; or later."""
        size = min(letter.part_bytes, len(delivery.body))
        if size > MIN_PART_BYTES:
            letter.part_bytes = max(MIN_PART_BYTES, size // 2)
            self._post(delivery, letter)
        elif self._shelf is None:
            self._post_later(delivery, letter)
        elif letter.is_kept:
            self._release(delivery)
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
            self._safe(delivery)
        else:
            self._post_later(delivery, letter)

    def _safe(self, delivery: Delivery) -> None:
        self._letters.pop(delivery, None)
        self._finish(delivery)

    def _release(self, delivery: Delivery) -> None:
        self._letters.pop(delivery, None)
        self._lines.release(self._lines.lines[delivery.stream], delivery)
