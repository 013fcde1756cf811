"""Chunks in doubt: tried again one at a time, and halved until a poisonous event is alone.  Pure.

Theory of operation
-------------------
A server may close the connection, or fall silent, because of what is in a chunk (an event larger than its
buffer takes), or for reasons of its own (a restart, a full buffer that refuses everything).  From outside both
look the same.  Taking the first for the second blocks the stream for ever; taking the second for the first
turns good events into dead letters by the thousand.  What tells them apart is whether the server acks *other*
chunks meanwhile.

- A chunk in flight when its connection ends is a **suspect**.  Suspects are tried again before new chunks, in
  turn, each **alone** on its connection and under the same id.  An ack clears a suspect.
- A suspect that fails while alone on a server has a **strike** when this is its first failure, or when the server
  acked some other chunk since its last one.  So an outage is one strike, however long it lasts and however often
  it is tried, and a server that takes nothing cannot convict.
- A suspect of several events is **split** in halves at its second strike.  The halves have new ids and a clean
  slate, and go first: the clean one is acked, the other one goes on, so a poisonous event is alone after
  log2(n) steps.
- A single event is **refused** (`Outcome.REFUSED`, a dead letter follows) at its third or a later strike.  Not two
  of them without an ack in between: the second one must be struck once more after that ack.

A server that is well produces no acks either when all it is offered is poison.  That is the **stalemate**: since the
last ack of any server every suspect failed at least twice.  Three things lead out of it, and do little harm when
the server is to blame:

- the smallest suspect of several events is split: one for each failed try, not all of them at once;
- when all suspects are single events, the sink takes a new chunk, one at a time, which goes first: when it is
  acked, that is the proof;
- when nothing new comes either, the event in doubt for longest is refused after ``PATIENCE_S`` and three failed
  tries, once until the next ack: its dead letter takes its place as the proof.  Dead letters themselves may be
  refused like this any number of times: who sent one can make smaller parts of it, or send it later.

Each try costs a reconnection, whose back-off grows until an ack: that is the clock of all this.

Invariants: a suspect is either waiting or under way; every entry of a chunk that came in leaves in an ack, a
refusal or on request, once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fluent_plugin_amp.model import Chunk

PATIENCE_S = 60.0
STRIKES_TO_SPLIT = 2
STRIKES_TO_REFUSE = 3
FAILURES_TO_REFUSE = 3
FAILURES_FOR_STALEMATE = 2


@dataclass(slots=True, eq=False)
class Suspect:
    """A chunk that was in flight when a connection ended."""

    chunk: Chunk
    server: str
    """Where it got in doubt last."""
    since: float
    """When it got in doubt first."""
    strikes: int = 0
    failures: int = 0
    """Failures while alone, strikes or not."""
    failures_since_ack: int = 0
    """Those since a server acked anything."""
    failed_at_ack: int = 0
    """How many acks there had been at the last one."""

    @property
    def is_single(self) -> bool:
        """It cannot be split any further."""
        return len(self.chunk.entries) == 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided on a failure; the halves of a split chunk are suspects already."""

    refused: Chunk | None = None
    split: Chunk | None = None


class Suspects:
    """All chunks in doubt.  ``new_id`` makes an id for a half."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._waiting: deque[Suspect] = deque()
        self._under_way: dict[str, Suspect] = {}
        self._acks = 0
        self._last_ack_of: dict[str, int] = {}
        self._acks_at_refusal = -1

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    @property
    def waiting_count(self) -> int:
        """Suspects that wait for their turn."""
        return len(self._waiting)

    @property
    def under_way_count(self) -> int:
        """Suspects that are being tried."""
        return len(self._under_way)

    @property
    def next(self) -> Suspect | None:
        """The suspect whose turn it is; None when none waits."""
        return self._waiting[0] if self._waiting else None

    @property
    def stalemate(self) -> bool:
        """There are suspects, and all failed in vain: nothing can be told from trying them once more."""
        return len(self) > 0 and all(map(self._is_exhausted, self._all()))

    @property
    def ask_for_news(self) -> bool:
        """A stalemate in which nothing is left to split: only a new chunk can end it."""
        return self.stalemate and all(suspect.is_single for suspect in self._all())

    def try_next(self) -> Chunk:
        """The next suspect goes out, alone on its connection."""
        suspect = self._waiting.popleft()
        self._under_way[suspect.chunk.id] = suspect
        return suspect.chunk

    def acked(self, chunk_id: str, server: str) -> None:
        """The server acked this chunk, suspect or not."""
        self._acks += 1
        self._last_ack_of[server] = self._acks
        self._under_way.pop(chunk_id, None)

    def in_doubt(self, chunks: Sequence[Chunk], server: str, now: float) -> None:
        """The connection to ``server`` ended with these ``chunks`` in flight, oldest first."""
        for chunk in chunks:
            suspect = self._under_way.pop(chunk.id, None) or Suspect(chunk, server, since=now)
            suspect.server = server
            self._waiting.append(suspect)

    def failed_alone(self, now: float, *, others: int) -> Verdict:
        """The chunk that was reported ``in_doubt`` just now had been alone in flight: returns what follows.

        ``others``: chunks that the sink holds and that are no suspects.
        """
        suspect = self._waiting[-1]
        is_proven = self._last_ack_of.get(suspect.server, 0) > suspect.failed_at_ack
        is_strike = is_proven or suspect.failures == 0
        if suspect.failed_at_ack != self._acks:
            suspect.failures_since_ack = 0
        suspect.failed_at_ack = self._acks
        suspect.failures_since_ack += 1
        suspect.failures += 1
        if is_strike:
            suspect.strikes += 1
            if suspect.strikes >= STRIKES_TO_SPLIT and not suspect.is_single:
                return self._split(suspect)
            if suspect.strikes >= STRIKES_TO_REFUSE and suspect.is_single and self._may_refuse:
                return self._refuse(suspect)
        if self.stalemate:
            return self._leave_stalemate(now, others)
        return Verdict()

    def shed_returned(self, *, others: int) -> list[Chunk]:
        """Forget the waiting suspects that were returned to the broker, and tell which.

        The one longest in doubt stays when neither another suspect nor any of the ``others`` does.
        """
        shed = sorted((s for s in self._waiting if s.chunk.is_returned), key=lambda suspect: suspect.since)
        if not others and len(shed) == len(self):
            shed = shed[1:]
        gone = {suspect.chunk.id for suspect in shed}
        self._waiting = deque(s for s in self._waiting if s.chunk.id not in gone)
        return [suspect.chunk for suspect in shed]

    def waiting(self) -> list[Chunk]:
        """The chunks that wait for their turn, the next one first."""
        return [suspect.chunk for suspect in self._waiting]

    def _all(self) -> Iterator[Suspect]:
        return itertools.chain(self._waiting, self._under_way.values())

    def _is_exhausted(self, suspect: Suspect) -> bool:
        return suspect.failed_at_ack == self._acks and suspect.failures_since_ack >= FAILURES_FOR_STALEMATE

    def _leave_stalemate(self, now: float, others: int) -> Verdict:
        several = [suspect for suspect in self._waiting if not suspect.is_single]
        if several:
            return self._split(min(several, key=lambda suspect: len(suspect.chunk.entries)))
        for suspect in sorted(self._waiting, key=lambda suspect: suspect.since):
            is_due = now - suspect.since >= PATIENCE_S and suspect.failures >= FAILURES_TO_REFUSE
            if is_due and not others and (suspect.chunk.is_dead_letters or self._may_refuse):
                return self._refuse(suspect)
        return Verdict()

    @property
    def _may_refuse(self) -> bool:
        return self._acks_at_refusal != self._acks

    def _refuse(self, suspect: Suspect) -> Verdict:
        self._waiting.remove(suspect)
        self._acks_at_refusal = self._acks
        return Verdict(refused=suspect.chunk)

    def _split(self, suspect: Suspect) -> Verdict:
        self._waiting.remove(suspect)
        chunk = suspect.chunk
        middle = len(chunk.entries) // 2
        for part in (slice(middle, None), slice(middle)):
            half = Chunk(
                self._new_id(), chunk.tag, chunk.entries[part], chunk.deliveries[part], chunk.is_dead_letters
            )
            self._waiting.appendleft(Suspect(half, suspect.server, suspect.since))
        return Verdict(split=chunk)
