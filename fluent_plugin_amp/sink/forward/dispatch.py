"""Makes every decision of the Forward client: events go in, writes and answers come out.  Pure.

::

    submit ──▶ fresh ─────┐                           ┌──▶ ack ──▶ answer ACKED
                          ├─▶ next ─▶ window ─ server ┤     └──▶ or, for another chunk, REFUSED
    suspects (retried) ───┘   ▲                       └──▶ lost ──▶ suspects
                              └ balancer

The shell (`client.py`) says which servers are connected and writable, what they acked, and when they were lost.  It
writes what ``next_write`` returns, and passes on ``answers`` and ``splits``.

Invariants (property tests walk through them): a chunk is in one place at a time: fresh, a waiting suspect, or in the
window of one server; each entry that was submitted is answered exactly once; suspects go before fresh chunks, except
in the trial that `bisect` describes; a server that is not connected has nothing in flight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fluent_plugin_amp.model import Answer, Chunk, Outcome
from fluent_plugin_amp.sink.forward.balancer import Balancer
from fluent_plugin_amp.sink.forward.bisect import News, Suspects, Verdict
from fluent_plugin_amp.sink.forward.settings import ForwardSettings
from fluent_plugin_amp.sink.forward.window import Window


@dataclass(frozen=True, slots=True)
class Write:
    """An order to write this chunk to this server; the chunk is registered as in flight already."""

    server: str
    chunk: Chunk


class Dispatcher:
    """The chunks that a Forward client holds, and its servers by name.

    ``new_id`` makes chunk ids.  ``make_probe`` makes a chunk of one record of our own, under a tag and of at least so
    many bytes (see `bisect`).
    """

    def __init__(
        self, settings: ForwardSettings, new_id: Callable[[], str], make_probe: Callable[[str, int], Chunk]
    ) -> None:
        self.answers: deque[Answer] = deque()
        """Answers to pass on, oldest first."""
        self.splits: deque[Chunk] = deque()
        """Chunks that were split, for the shell to report."""
        self._windows = {
            server.name: Window(settings.max_in_flight, settings.ack_response_timeout_s)
            for server in settings.servers
        }
        self._balancer = Balancer(settings.servers)
        self._suspects = Suspects(new_id)
        self._make_probe = make_probe
        self._fresh: deque[Chunk] = deque()
        self._up: set[str] = set()
        self._blocked: set[str] = set()
        self._is_shedding = False
        self._take_nothing: set[str] = set()

    # --- what happened ---------------------------------------------------------------------------

    def submit(self, chunk: Chunk) -> None:
        """Take a new chunk."""
        assert chunk.entries, "an empty chunk closes the connection to Fluent Bit"
        self._fresh.append(chunk)

    def connected(self, server: str) -> None:
        """The server is connected, handshake done."""
        self._up.add(server)

    def set_writable(self, server: str, writable: bool) -> None:
        """The server's connection takes more bytes now, or wants to drain first."""
        if writable:
            self._blocked.discard(server)
        else:
            self._blocked.add(server)

    def acked(self, server: str, chunk_id: str) -> None:
        """The server acked a chunk.  Raises ``WrongAck`` for one that it was not sent: then end the connection."""
        chunk = self._windows[server].ack(chunk_id)
        if chunk is None:
            return
        self._take_nothing.discard(server)
        if chunk is not self._suspects.probe:
            self._is_shedding = False
            self.answers.append(Answer(chunk, Outcome.ACKED, server))
        self._follow(self._suspects.acked(chunk, server), server)

    def lost(self, server: str, now: float) -> int:
        """The server's connection ended; returns how many chunks are in doubt now."""
        self._up.discard(server)
        self._blocked.discard(server)
        in_doubt = self._windows[server].lost()
        probe = self._suspects.probe
        self._follow(self._suspects.in_doubt(in_doubt, server, now), server)
        if self._is_shedding:
            self._shed()
        if probe is not None and probe in in_doubt:
            self._take_nothing.add(server)
            return len(in_doubt) - 1
        return len(in_doubt)

    def shed(self) -> None:
        """Forget waiting chunks whose deliveries were all requeued; at least one chunk stays, as a probe.

        Until the next ack this applies to chunks that get in doubt later too.
        """
        self._is_shedding = True
        self._shed()

    # --- what to do ------------------------------------------------------------------------------

    def next_write(self, now: float) -> Write | None:
        """The next chunk to write, and where; None when nothing can be written now."""
        suspects = self._suspects
        suspects.look_at_clock(now)
        if suspects.awaits_news:
            return self._write_news(suspects.wanted_news(), now)
        suspect = suspects.next
        if suspect is not None:
            server = self._pick(idle=True, avoid=suspect.server)
            if server is not None:
                return self._take(server, suspects.try_next(), now, alone=True)
        elif self._fresh:
            server = self._pick(idle=False)
            if server is not None:
                return self._take(server, self._fresh.popleft(), now, alone=False)
        return None

    def deadline(self, server: str) -> float | None:
        """When the server must have acked its oldest chunk in flight; None while it owes nothing."""
        return self._windows[server].deadline

    # --- how it stands ---------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many new chunks could be written at once; one when a trial wants news."""
        if self._suspects.awaits_news:
            free = 1
        elif self._suspects.next is None:
            in_use = self._balancer.in_use(self._up)
            free = sum(self._windows[name].room for name in in_use if name not in self._blocked)
        else:
            free = 0
        return max(free - len(self._fresh), 0)

    @property
    def available(self) -> bool:
        """A server is connected, and there is no doubt that it acks."""
        return any(self._windows[name].trusted or not self._suspects for name in self._up)

    @property
    def in_flight(self) -> int:
        """Chunks taken and not answered yet."""
        return len(self._fresh) + self._chunks_in_windows + self._suspects.waiting_count

    @property
    def written(self) -> int:
        """Chunks that were written to a connection that still stands, and are not acked yet."""
        return sum(map(len, self._windows.values()))

    def is_up(self, server: str) -> bool:
        """The server is connected, handshake done."""
        return server in self._up

    def window(self, server: str) -> Window:
        """What a server was given; read it only."""
        return self._windows[server]

    def is_doubtful(self, server: str) -> bool:
        """Chunks are in doubt, and the server has not acked one since."""
        return bool(self._suspects) and not self._windows[server].trusted

    def takes_nothing(self, server: str) -> bool:
        """The server refused even a probe, and has not acked anything since."""
        return server in self._take_nothing

    def held(self) -> list[Chunk]:
        """All chunks that are not answered yet; those that were sent come first."""
        probe = self._suspects.probe
        in_windows = [chunk for window in self._windows.values() for chunk in window.chunks() if chunk is not probe]
        return [*in_windows, *self._suspects.waiting(), *self._fresh]

    # --- how -------------------------------------------------------------------------------------

    def _follow(self, verdict: Verdict, server: str) -> None:
        if verdict.refused is not None:
            self.answers.append(Answer(verdict.refused, Outcome.REFUSED, server))
        if verdict.split is not None:
            self.splits.append(verdict.split)

    def _write_news(self, news: News | None, now: float) -> Write | None:
        """Write news to the server of the trial, and to no other."""
        if news is None or news.server not in self._up - self._blocked or self._windows[news.server]:
            return None
        fresh = None
        if news.may_be_new:
            fresh = next((chunk for chunk in self._fresh if news.may_be_other or _may_serve(chunk, news)), None)
        if fresh is not None:
            self._fresh.remove(fresh)
        chunk = fresh or self._make_probe(news.tag, news.size)
        self._suspects.give_news(chunk, is_probe=fresh is None)
        return self._take(news.server, chunk, now, alone=True)

    def _pick(self, *, idle: bool, avoid: str | None = None) -> str | None:
        """A server with room for a chunk; with ``idle``, one that has nothing in flight at all."""
        windows = self._windows
        if idle:
            ready = {name for name in self._up - self._blocked if not windows[name]}
        else:
            ready = {name for name in self._up - self._blocked if windows[name].room > 0}
        return self._balancer.pick(self._up, ready, avoid=avoid)

    def _take(self, server: str, chunk: Chunk, now: float, *, alone: bool) -> Write:
        self._windows[server].register(chunk, now, alone=alone)
        return Write(server, chunk)

    @property
    def _others(self) -> int:
        """How many chunks are held that are no suspects."""
        return len(self._fresh) + self._chunks_in_windows - self._suspects.under_way_count

    @property
    def _chunks_in_windows(self) -> int:
        return self.written - (self._suspects.probe is not None)

    def _shed(self) -> None:
        requeued = [chunk for chunk in self._fresh if chunk.is_requeued]
        if len(requeued) == self.in_flight:
            requeued = requeued[1:]
        for chunk in requeued:
            self._fresh.remove(chunk)
        requeued += self._suspects.shed_requeued(others=self._others)
        self.answers.extend(Answer(chunk, Outcome.SHED) for chunk in requeued)


def _may_serve(chunk: Chunk, news: News) -> bool:
    return chunk.tag == news.tag and chunk.bytes >= news.size
