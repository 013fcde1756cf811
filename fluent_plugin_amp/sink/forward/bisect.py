"""Chunks in doubt: tries them again one at a time, and halves them until a poisonous event is alone.  Pure.

Theory of operation
-------------------
A server may close the connection, or fall silent, because of what is in a chunk (an event larger than its buffer
takes).  Or it has reasons of its own (a restart, a full buffer that refuses everything).  Both look the same from
outside.  To mistake the first for the second blocks the stream for ever; to mistake the second for the first turns
good events into dead letters.  One thing tells them apart: whether the server acks *another* chunk right after it
refused this one.

- A chunk in flight when its connection ends is a **suspect**.  Suspects are tried again before new chunks, in
  turn, each **alone** on its connection and under the same id.  An ack clears a suspect: most outages end so.
- When every suspect failed three times since the last ack (acks of news do not count), more tries tell nothing.  The
  one that failed last is put on **trial**.
- A trial takes turns.  The suspect fails on a server; then that server is given **news**: another chunk under the
  same tag (a server may treat each tag in another way), and as large, up to `NEWS_BYTES` (a full disk may have room
  for something small).  An ack of the news is a **strike**: this server takes events, but not this one.  When the
  news is lost too, the server is the trouble, and the trial ends without a verdict.  It also ends when the server
  stays away.
- A suspect of several events is **split** in halves at its second strike.  The halves have new ids, start without
  strikes, and go first.  When one is acked, the other one bears the guilt: it is split again at its next failure,
  without another trial.  So a poisonous event is alone after log2(n) steps.
- A single event is **refused** (`Outcome.REFUSED`, a dead letter follows) at its fourth strike: it was refused four
  times, and after each time another chunk was acked.  A buffer that is full now and then hardly ever looks like that,
  and one that is always full never does.

The news is a new chunk, if there is one under that tag and as large.  Otherwise it is a **probe**: a record of our
own that says what it is.  It is a probe too when the new chunk was lost, which may be poison itself.  Without probes,
a poisonous event that comes alone would wait for ever, or a good one would be given up on suspicion.  After a probe
was lost, every suspect has more tries before the next trial, so real events nearly always notice the end of an
outage.  Then the news is any new chunk and a probe, in turn.

Each try costs a reconnection, whose back-off grows until an ack.  So the back-off sets the speed of all this.

Invariants: a suspect is either waiting or under way; every entry of a chunk that came in leaves once: acked, refused
or shed; a suspect is refused or split only after an ack of another chunk.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fluent_plugin_amp.model import Chunk

STRIKES_TO_SPLIT = 2
STRIKES_TO_REFUSE = 4
FAILURES_FOR_TRIAL = 3
FAILURES_MORE = 6
"""So many more before the next trial, after one that ended with a lost probe."""
NEWS_BYTES = 16 * 1024
"""News of this size proves something for any suspect.  A disk that takes it four times had room for an event of four
times the size.  A server that has a rule against news of this size refuses dead letters too."""
SERVER_AWAY_S = 60.0
"""How long a trial waits for the server that is to be given news."""


@dataclass(slots=True, eq=False)
class Suspect:
    """A chunk that was in flight when a connection ended."""

    chunk: Chunk
    server: str
    """The server where it got in doubt last."""
    since: float
    """When it first got in doubt."""
    strikes: int = 0
    failures_since_ack: int = 0
    """How often it failed alone since a server acked anything but news."""
    failed_at_ack: int = 0
    """How many acks had been counted at its last failure."""
    sibling: Suspect | None = None
    """The other half of the chunk that was split."""
    bears_guilt: bool = False
    """The other half was acked."""

    @property
    def is_single(self) -> bool:
        """It cannot be split any further."""
        return len(self.chunk.entries) == 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision.  The halves of a split chunk are suspects already."""

    refused: Chunk | None = None
    split: Chunk | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What the server of the suspect on trial is to be given."""

    server: str
    tag: str
    """The suspect's tag: only a chunk under it proves anything."""
    size: int
    """At least so many bytes: less proves nothing."""
    may_be_new: bool
    """A new chunk of that tag and size will do; False: it must be a probe."""
    may_be_other: bool
    """Any other new chunk will do too, because a probe was lost."""


class Suspects:
    """All chunks in doubt.  ``new_id`` makes an id for a half."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._waiting: deque[Suspect] = deque()
        self._under_way: dict[str, Suspect] = {}
        self._acks = 0
        self._failures_for_trial = FAILURES_FOR_TRIAL
        self._accused: Suspect | None = None
        self._failed_at: float | None = None
        """When the accused failed; None after news was acked or lost."""
        self._news: Chunk | None = None
        self._news_lost = 0
        """In a row."""
        self.probe: Chunk | None = None
        """The probe that is under way."""

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
    def awaits_news(self) -> bool:
        """The suspect on trial has just failed: nothing else is tried until news was given and is answered."""
        return self._failed_at is not None

    def wanted_news(self) -> News | None:
        """The news to give now, and to whom; None when there is none to give, or it is under way."""
        if self._accused is None or self._failed_at is None or self._news is not None:
            return None
        lost, chunk = self._news_lost, self._accused.chunk
        size = min(chunk.bytes, NEWS_BYTES)
        return News(self._accused.server, chunk.tag, size, lost % 2 == 0, lost > 0 and lost % 2 == 0)

    def give_news(self, chunk: Chunk, *, is_probe: bool) -> None:
        """This chunk goes out as the news."""
        self._news = chunk
        self.probe = chunk if is_probe else None

    def look_at_clock(self, now: float) -> None:
        """End a trial whose server stays away."""
        if self._failed_at is not None and self._news is None and now - self._failed_at >= SERVER_AWAY_S:
            self._end_trial()

    def try_next(self) -> Chunk:
        """The next suspect goes out, alone on its connection."""
        suspect = self._waiting.popleft()
        self._under_way[suspect.chunk.id] = suspect
        return suspect.chunk

    def acked(self, chunk: Chunk, server: str) -> Verdict:
        """The server acked this chunk, a suspect, news or any other; returns the decision that follows."""
        self._acks += chunk is not self._news  # an ack of news must not put off the next trial
        self._news_lost = 0
        self._failures_for_trial = FAILURES_FOR_TRIAL
        accused = self._accused
        cleared = self._under_way.pop(chunk.id, None)
        if cleared is not None:
            if cleared.sibling is not None:
                cleared.sibling.bears_guilt = True
            if cleared is accused:
                self._end_trial()
        elif chunk is self._news:
            self._news = self.probe = None
            if accused is not None and self._failed_at is not None:
                is_large = chunk.bytes >= min(accused.chunk.bytes, NEWS_BYTES)
                if is_large and (server, chunk.tag) == (accused.server, accused.chunk.tag):
                    self._failed_at = None
                    accused.strikes += 1
                    return self._judge(accused)
                self._end_trial()
        return Verdict()

    def in_doubt(self, chunks: Sequence[Chunk], server: str, now: float) -> Verdict:
        """The connection to ``server`` ended with these ``chunks`` in flight, oldest first; returns the decision."""
        for chunk in chunks:
            if chunk is self._news:
                self._news_lost += 1
                self._news = None
                self._end_trial()
            if chunk is self.probe:
                self.probe = None
                self._failures_for_trial += FAILURES_MORE
                continue
            suspect = self._under_way.pop(chunk.id, None) or Suspect(chunk, server, since=now)
            suspect.server = server
            self._waiting.append(suspect)
            if len(chunks) == 1:
                return self._failed_alone(suspect, now)
        return Verdict()

    def shed_requeued(self, *, others: int) -> list[Chunk]:
        """Forget the waiting suspects that were requeued to the broker, and return their chunks.

        The one that is longest in doubt stays if no other suspect stays and there are no ``others``.
        """
        shed = sorted((s for s in self._waiting if s.chunk.is_requeued), key=lambda suspect: suspect.since)
        if not others and len(shed) == len(self):
            shed = shed[1:]
        gone = {suspect.chunk.id for suspect in shed}
        self._waiting = deque(s for s in self._waiting if s.chunk.id not in gone)
        if self._accused in shed:
            self._end_trial()
        return [suspect.chunk for suspect in shed]

    def waiting(self) -> list[Chunk]:
        """The chunks that wait for their turn, the next one first."""
        return [suspect.chunk for suspect in self._waiting]

    def _failed_alone(self, suspect: Suspect, now: float) -> Verdict:
        if suspect.failed_at_ack != self._acks:
            suspect.failures_since_ack = 0
        suspect.failed_at_ack = self._acks
        suspect.failures_since_ack += 1
        if suspect.bears_guilt and not suspect.is_single:
            return self._split(suspect)
        if self._accused is None and all(map(self._is_exhausted, self._all())):
            self._accused = suspect
        if suspect is self._accused:
            self._failed_at = now
            self._put_first(suspect)
        elif not self._is_exhausted(suspect) and self._is_exhausted(self._waiting[0]):
            self._put_first(suspect)  # the others were tried often enough
        return Verdict()

    def _put_first(self, suspect: Suspect) -> None:
        self._waiting.remove(suspect)
        self._waiting.appendleft(suspect)

    def _judge(self, suspect: Suspect) -> Verdict:
        if not suspect.is_single:
            return self._split(suspect) if suspect.strikes >= STRIKES_TO_SPLIT else Verdict()
        if suspect.strikes < STRIKES_TO_REFUSE:
            return Verdict()
        self._waiting.remove(suspect)
        self._end_trial()
        return Verdict(refused=suspect.chunk)

    def _split(self, suspect: Suspect) -> Verdict:
        self._waiting.remove(suspect)
        if suspect is self._accused:
            self._end_trial()
        chunk = suspect.chunk
        middle = len(chunk.entries) // 2
        halves = [
            Suspect(
                Chunk(self._new_id(), chunk.tag, chunk.entries[part], chunk.deliveries[part], chunk.is_dead_letters),
                suspect.server,
                suspect.since,
            )
            for part in (slice(middle, None), slice(middle))
        ]
        for half, other in (halves, halves[::-1]):
            half.sibling = other
            self._waiting.appendleft(half)
        return Verdict(split=chunk)

    def _end_trial(self) -> None:
        if self._accused is not None:
            self._accused.strikes = 0
        self._accused = self._failed_at = None

    def _all(self) -> Iterator[Suspect]:
        return itertools.chain(self._waiting, self._under_way.values())

    def _is_exhausted(self, suspect: Suspect) -> bool:
        return suspect.failed_at_ack == self._acks and suspect.failures_since_ack >= self._failures_for_trial
