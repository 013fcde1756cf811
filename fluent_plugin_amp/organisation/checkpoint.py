"""When what is known may be kept: after a server has everything that was told of it.

The state file knows by its bytes what was delivered, and has it not sent again after a crash.  But a computer may go,
come back, and go again: two records that say the same.  So behind the JSON of a record stands the number of the last
checkpoint, written in blanks.  After a crash it is the same number, after the next checkpoint it is another one.

A crash may come after a record was told and before the checkpoint.  So a source may have something kept before it
tells, to know afterwards what it may have told (`tell`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Protocol

import msgspec

from fluent_plugin_amp.organisation.entries import in_blanks, mask_secrets
from fluent_plugin_amp.turns import Turns

MOST_TOLD = 5000
"""So many records may be told between two checkpoints: after a crash as many are told again."""

NUMBER = "checkpoint"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Feed(Protocol):
    """Takes records; `pipeline.feed.Feed`."""

    async def put(self, body: bytes, *, perhaps_again: bool = False) -> None:
        """Take one."""

    async def finish(self) -> None:
        """Return when all are safe."""


class Kept(Protocol):
    """Keeps small values of a source in the state file; `state.rows.KeptRows`."""

    async def load_of(self, source: str) -> dict[str, bytes]:
        """Its values, by name."""

    async def save(self, source: str, values: dict[str, bytes | None]) -> None:
        """Return when they are committed; None removes one."""


class Checkpoint:
    """Hands in records of one source, and keeps what is known once they are safe.

    Args:
        name: under which it is kept.
        feed: where the records go; None: nothing is told, only known.
        kept: keeps what is known.
        rows: gives what has changed of it since it was asked last, by name; each is made when it is asked for.
        about: how the names of rows begin that `tell` keeps until the next checkpoint.
        turns: of the work that this is a part of; None: it has its own.
    """

    def __init__(
        self,
        name: str,
        feed: Feed | None,
        kept: Kept,
        rows: Callable[[], Iterable[tuple[str, bytes | None]]],
        *,
        about: str = "about ",
        turns: Turns | None = None,
    ) -> None:
        self.told = 0
        """Records, since the start."""
        self._name = name
        self._feed = feed
        self._kept = kept
        self._rows = rows
        self._told_since = 0
        self._number = 0
        self._turns = turns or Turns()
        self._prefix = about
        self._about: list[str] = []

    async def load(self) -> dict[str, bytes]:
        """What was kept."""
        rows = await self._kept.load_of(self._name)
        number = rows.get(NUMBER, b"")
        self._number = int(number) if number.isdigit() and len(number) <= 18 else 0
        self._about = [name for name in rows if name.startswith(self._prefix)]
        return rows

    async def tell(self, *records: dict[str, Any], about: bytes | None = None) -> None:
        """Hand in records; their secrets are masked in them.

        Args:
            records: what is known has all of them, before any is handed in.
            about: is kept until the next checkpoint, and committed before any record is handed in.
        """
        if self._feed is not None:
            if about is not None:
                await self._keep_until_checkpoint(about)
            number = in_blanks(self._number)
            for record in records:
                await self._feed.put(_encode(mask_secrets(record)) + number, perhaps_again=True)
                await self._turns.rest()
            self.told += len(records)
        self._told_since += len(records)
        if self._told_since >= MOST_TOLD:
            await self.keep()

    async def _keep_until_checkpoint(self, about: bytes) -> None:
        name = next(name for n in count() if (name := f"{self._prefix}{n}") not in self._about)
        self._about.append(name)
        await self._kept.save(self._name, {name: about})

    async def keep(self, **more: bytes) -> None:
        """Wait until everything that was told is safe; then keep what is known, and ``more``."""
        if self._feed is not None:
            await self._feed.finish()
        self._told_since = 0
        rows: dict[str, bytes | None] = dict.fromkeys(self._about)
        for row, data in self._rows():
            rows[row] = data
            await self._turns.rest()
        if rows or more:
            self._number += 1
            await self._kept.save(self._name, {**rows, **more, NUMBER: b"%d" % self._number})
            self._about.clear()
