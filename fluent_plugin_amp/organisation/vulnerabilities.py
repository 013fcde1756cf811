"""The vulnerable programs of an organisation: what is new, and what has changed (`programs`).

Each round asks for what the cloud saw since the latest that is known, less `OVERLAP_S`.  The list comes latest first:
so the time moves when a round is over as a whole.  A program whose own list of computers fails holds up no other: the
round goes on, and fails at its end.  A page has `PAGE` programs, since each brings up to 1000
computers; of a program with more, the list of its file is read, page by page.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import Any

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, CloudRefused, CloudServerError, CloudUnreachable
from fluent_plugin_amp.cisco.listing import MAX_COMPUTER_BYTES, Listing, guid_of
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.hashes import is_sha256
from fluent_plugin_amp.organisation.checkpoint import Checkpoint, Feed, Kept
from fluent_plugin_amp.organisation.compared import Compared
from fluent_plugin_amp.organisation.programs import (
    COMPUTERS_EACH,
    Programs,
    is_complete,
    key_of,
    parts_of,
    record_of,
    sha256_of,
)

PAGE = 50
OVERLAP_S = 86_400
LATEST = "latest"
_LAST_SECOND = 2**32 - 1
_OF_ONE_LIST = (CloudAnswerNotUnderstood, CloudRefused, CloudServerError, CloudUnreachable)
"""What may be the trouble of one program's list only."""

Json = dict[str, Any]


class Vulnerabilities(Compared):
    """One organisation's vulnerable programs.

    Args:
        name: under which what is known is kept.
        organisation: its label.
        api: of the organisation.
        feed: where what changed is told.
        kept: keeps what is known.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        organisation: str,
        api: CiscoApi,
        feed: Feed,
        kept: Kept,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.programs = Programs()
        self._organisation = organisation
        self._api = api
        self._clock = clock
        self._latest = 0
        self._checkpoint = Checkpoint(name, feed, kept, lambda: self.programs.rows().items())

    async def _round(self) -> None:
        """A program's list that fails lets the round fail at its end."""
        latest = known = self._latest
        failed: PluginError | None = None
        query = [("start_time", _date_of(known - OVERLAP_S))] if known > OVERLAP_S else []
        with self._reading(Listing(self._api, "/v1/vulnerabilities", key_of, query=query, limit=PAGE)) as listing:
            async for program in listing.items():
                second = program.get("latest_timestamp")
                if type(second) is int and latest < second <= self._clock():
                    latest = second
                try:
                    await self._tell(program)
                except _OF_ONE_LIST as error:
                    failed = failed or error
        if failed is not None:
            await self._checkpoint.keep()
            raise failed
        await self._checkpoint.keep(latest=b"%d" % latest)
        self._latest = latest

    async def _tell(self, program: Json) -> None:
        change = self.programs.take(program)
        if change is None:
            return
        number, parts = 0, parts_of(program)
        async for computers in self._computers_of(program):
            number += 1
            record = record_of(self._organisation, program, change, computers, part=number, parts=max(number, parts))
            await self._checkpoint.tell(record)
        self.programs.told()

    async def _load(self) -> None:
        rows = await self._checkpoint.load()
        self.programs = Programs()
        self.odd_rows = self.programs.restore(rows)
        latest = rows.get(LATEST, b"")
        is_known = latest.isdigit() and int(latest[:20]) <= _LAST_SECOND and not self.odd_rows
        self._latest = int(latest) if is_known else 0

    async def _computers_of(self, program: Json) -> AsyncIterator[list[Json]]:
        """All computers of a program, so many at a time; one empty list where there are none."""
        sha256 = sha256_of(program)
        if is_complete(program) or not is_sha256(sha256):  # it becomes a part of a path
            listed = program.get("computers")
            yield [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            return
        found: list[Json] = []
        is_empty = True
        path = f"/v1/vulnerabilities/{sha256}/computers"
        listing = Listing(self._api, path, guid_of("connector_guid"), max_item_bytes=MAX_COMPUTER_BYTES)
        async for computer in listing.items():
            found.append(computer)
            if len(found) == COMPUTERS_EACH:
                yield found
                found, is_empty = [], False
        if found or is_empty:
            yield found


def _date_of(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).isoformat()
