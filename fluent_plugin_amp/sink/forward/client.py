"""The Forward client: chunks in, answers out; a thin asyncio shell around `dispatch.Dispatcher`.

A `link.Link` for each server keeps it connected, for ever.  Everything else happens in callbacks on the event loop.
If a server has room, ``send`` writes the chunk before it returns.  An ack is answered before the loop turns.

Invariant: only ``_act`` calls ``on_answer``, ``on_change`` and the observer, never nested, and only while the
dispatcher's books are consistent.  So they may call ``send`` and ``shed`` freely.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
from collections import deque
from collections.abc import Callable

from fluent_plugin_amp.facts import Fact, InternalError, Observer
from fluent_plugin_amp.model import Answer, Chunk, ServerSnapshot
from fluent_plugin_amp.sink.forward.dispatch import Dispatcher
from fluent_plugin_amp.sink.forward.link import Link
from fluent_plugin_amp.sink.forward.protocol import make_probe
from fluent_plugin_amp.sink.forward.settings import ForwardSettings


def new_chunk_id() -> str:
    """Make a chunk id: base64 of 16 random bytes."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


class ForwardClient:
    """A `model.Sink` that delivers to Forward servers.  The constructor connects nothing; ``run`` does.

    ``jitter`` returns a random number in 0 … 1, for the back-off.
    """

    def __init__(
        self,
        settings: ForwardSettings,
        observer: Observer,
        *,
        jitter: Callable[[], float] = random.random,
        new_id: Callable[[], str] = new_chunk_id,
    ) -> None:
        self.on_answer: Callable[[Answer], None] = lambda answer: None
        self.on_change: Callable[[], None] = lambda: None
        self._observer = observer
        self._dispatcher = Dispatcher(
            settings,
            new_id,
            lambda tag, size: make_probe(tag, new_id(), time.time_ns(), noise=os.urandom(size).hex()[:size]),
        )
        self._facts: deque[Fact] = deque()
        self._links = {
            address.name: Link(
                address,
                settings,
                self._dispatcher,
                tell=self._facts.append,
                changed=self._changed,
                jitter=jitter,
            )
            for address in settings.servers
        }
        self._may_have_grown = False
        self._is_acting = False
        self._is_closing = False
        self._nothing_written = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def room(self) -> int:
        """How many chunks would be written at once now."""
        return 0 if self._is_closing else self._dispatcher.room

    @property
    def available(self) -> bool:
        """A server is connected and there is no doubt that it acks."""
        return not self._is_closing and self._dispatcher.available

    @property
    def in_flight(self) -> int:
        """Chunks taken and not answered yet, those waiting for a server included."""
        return self._dispatcher.in_flight

    def figures(self) -> tuple[ServerSnapshot, ...]:
        """How each server stands now, in the order of the configuration."""
        return tuple(link.figures() for link in self._links.values())

    def send(self, chunk: Chunk) -> None:
        """Take a chunk, and write it at once if a server has room for it."""
        self._dispatcher.submit(chunk)
        self._act()

    def held(self) -> list[Chunk]:
        """Chunks taken and not answered yet, those sent already first."""
        return self._dispatcher.held()

    def shed(self) -> None:
        """Forget chunks (``Outcome.SHED``) whose deliveries were all requeued, but keep one as a probe."""
        self._dispatcher.shed()
        self._changed()

    async def run(self) -> None:
        """Connect to every server and stay connected, until cancelled or closed."""
        tasks = [asyncio.create_task(link.keep_connected()) for link in self._links.values()]
        closed = asyncio.create_task(self._closed.wait())
        try:
            done, _ = await asyncio.wait({*tasks, closed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a link ends by a bug only, which is raised here
        finally:
            for task in (*tasks, closed):
                task.cancel()
            await asyncio.gather(*tasks, closed, return_exceptions=True)
            for link in self._links.values():
                link.close()

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Write nothing more, wait at most ``timeout_s`` for the acks of what was written, and end ``run``.

        Returns the chunks that are not answered, and never will be; another client may take them over.
        """
        self._is_closing = True
        self._act()
        nothing_written = asyncio.create_task(self._nothing_written.wait())
        await asyncio.wait({nothing_written}, timeout=timeout_s)
        nothing_written.cancel()
        self._closed.set()
        for link in self._links.values():
            link.close()
        return self.held()

    def _changed(self) -> None:
        self._may_have_grown = True
        self._act()

    def _act(self) -> None:
        """Write what can be written, and pass on answers and facts, until nothing is left to do."""
        if self._is_acting:
            return  # a callback below called this: the loop below goes on when it returns
        self._is_acting = True
        try:
            while True:
                if not self._is_closing:
                    self._write()
                if self._dispatcher.answers:
                    self.on_answer(self._dispatcher.answers.popleft())
                elif self._facts:
                    self._observer(self._facts.popleft())
                elif self._may_have_grown:
                    self._may_have_grown = False
                    self.on_change()
                else:
                    break
        finally:
            self._is_acting = False
        if self._is_closing and not self._dispatcher.written:
            self._nothing_written.set()

    def _write(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            while (write := self._dispatcher.next_write(now)) is not None:
                self._links[write.server].write(write.chunk)
        except Exception as exc:  # then everything in flight is in doubt, on all connections: it is sent again
            self._facts.append(InternalError("sink", exc))
            for link in self._links.values():
                link.fail(exc)
