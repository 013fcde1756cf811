"""Dead letters that servers refuse in every size: kept in the state file, and sent later.

It is a `model.DeadLetterStore`, and the ledger of the letters that it sends: they go the way of any other delivery,
one at a time.  Each refusal costs a server's connection, so a round ends with the first refusal.  The next round
begins after `FIRST_WAIT_S`, and later and later while no server takes any.  A refused letter goes to the end of the
line, so a hopeless one does not hold up the others.

A letter is removed after a server acked it.  If the process ends in between, it is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.errors import InvalidEvent, PluginError
from fluent_plugin_amp.facts import KeptLettersSent, LetterKept, Observer
from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import KeptDeadLetter
from fluent_plugin_amp.state.writer import Opened, Writer

FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0

_ERRORS = {kind.id: kind for kind in InvalidEvent.__subclasses__()}


Post = Callable[[Delivery, InvalidEvent], None]
"""Sends one; `KeptDeadLetters.resolve` or `KeptDeadLetters.refused` follows."""


class KeptDeadLetters:
    """Keeps dead letters, and sends them when a server takes them.

    Args:
        writer: of the state file.
        observer: told of letters that are kept or sent.
        post: sends a letter.
        is_available: whether a server is there to take it.
    """

    closed = False

    def __init__(self, writer: Writer, observer: Observer, post: Post, is_available: Callable[[], bool]) -> None:
        self.count = 0
        """Letters kept."""
        self._post = post
        self._is_available = is_available
        self._writer = writer
        self._observer = observer
        self._wake = asyncio.Event()
        self._not_before = 0.0
        self._answer: asyncio.Future[bool] | None = None

    def opened(self, opened: Opened) -> None:
        """The file was opened, for the first time or again."""
        self.count = opened.letters
        self._wake.set()

    def wake(self) -> None:
        """A server came or went."""
        self._wake.set()

    # --- DeadLetterStore -------------------------------------------------------------------------------------------

    def keep(self, delivery: Delivery, error: InvalidEvent, done: Callable[[bool], None]) -> None:
        """Part of `DeadLetterStore`: keep this letter, and tell ``done`` whether it is kept."""
        letter = KeptDeadLetter(
            stream=delivery.stream,
            error_id=error.id,
            reason=str(error),
            routing_key=delivery.routing_key,
            redelivered=delivery.redelivered,
            received_at=delivery.received_at,
            body=delivery.body,
        )

        def committed(trouble: PluginError | None) -> None:
            if trouble is None:
                self.count += 1
                self._not_before = max(self._not_before, asyncio.get_running_loop().time() + FIRST_WAIT_S)
                self._wake.set()
                self._observer(LetterKept(letter.stream, error, len(letter.body), self.count))
            done(trouble is None)

        self._writer.put(partial(Store.add_letter, letter=letter), committed)

    def refused(self, delivery: Delivery) -> None:
        """Part of `DeadLetterStore`: the servers refused the letter that was sent."""
        self._answered(is_taken=False)

    def resolve(self, delivery_tag: int) -> None:
        """Part of `model.Ledger`: a server has the letter that was sent."""
        self._answered(is_taken=True)

    # --- sending -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is kept, now and then, until cancelled."""
        rounds_in_vain = 0
        while True:
            await self._wait_for_turn()
            sent, is_refused = await self._round()
            rounds_in_vain = rounds_in_vain + 1 if is_refused and not sent else 0
            wait_s = backoff_s(max(1, rounds_in_vain), 0.0, first_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S)
            self._not_before = asyncio.get_running_loop().time() + wait_s

    async def _wait_for_turn(self) -> None:
        """Wait until there are letters, a server is there, and it is time."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if (wait_s := self._not_before - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            elif self.count and self._is_available() and self._writer.error is None:
                return
            else:
                await self._wake.wait()

    async def _round(self) -> tuple[int, bool]:
        """Send until none is left or one is refused; returns how many were taken, and whether one was refused."""
        sent = 0
        is_taken = True
        try:
            while is_taken and self._is_available():
                letter = await self._writer.call(Store.next_letter)
                if letter is None:
                    self.count = 0
                    break
                is_taken = await self._send(letter)
                if is_taken:
                    sent += 1
                    self.count -= 1
                    self._writer.put(partial(Store.remove_letter, number=letter.number), events=1)
                else:
                    self._writer.put(partial(Store.letter_refused, number=letter.number), events=1)
        except PluginError:
            pass  # the writer has reported it
        if sent:
            self._observer(KeptLettersSent(sent, self.count))
        return sent, not is_taken

    async def _send(self, letter: KeptDeadLetter) -> bool:
        self._answer = asyncio.get_running_loop().create_future()
        delivery = Delivery(
            letter.stream,
            self,
            letter.number,
            letter.body,
            bool(letter.redelivered),
            letter.routing_key,
            letter.received_at,
        )
        self._post(delivery, _ERRORS.get(letter.error_id, InvalidEvent)(letter.reason))
        return await self._answer

    def _answered(self, *, is_taken: bool) -> None:
        assert self._answer is not None
        if not self._answer.done():
            self._answer.set_result(is_taken)
