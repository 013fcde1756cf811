"""The computers of an organisation: all of them once a day, between times those that reported within a day.

The cloud tells neither what changed nor what went.  So what changed is found by digest (`fleet`), and what went by a
sweep that does not find it.  A list that moved while it was read, or one that lacks more than half of what is known,
proves nothing: then each computer that it lacks is asked for, `MOST_ASKED` in one round, in turn.

Names for events are learnt on the way, with the lists of groups and policies.  All of it is kept, so that names are
there after a restart, whether or not the cloud is.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.computers import by_guid
from fluent_plugin_amp.cisco.errors import ComputerNotFound
from fluent_plugin_amp.cisco.listing import MAX_COMPUTER_BYTES, MAX_PASSES, Listing, guid_of
from fluent_plugin_amp.cisco.names import is_guid
from fluent_plugin_amp.errors import ComputersLeftOut
from fluent_plugin_amp.organisation.checkpoint import Checkpoint, Feed, Kept
from fluent_plugin_amp.organisation.compared import Compared
from fluent_plugin_amp.organisation.fleet import NEWCOMERS, Fleet, newcomers, record_of, unpacked
from fluent_plugin_amp.pipeline.names import MAX_KNOWN, MAX_NAME, Names
from fluent_plugin_amp.text import how_many
from fluent_plugin_amp.turns import Turns

MOST_ASKED = 100
AT_ONCE = 250
"""Computers that are told of after one commit, which says who is new."""
SWEPT_AT = "swept_at"
MAX_LIST_BYTES = 8 * 1024 * 1024
"""Packed, of the names of all groups, or of all policies: more are not kept, only known."""
_WITHIN_A_DAY = (("last_seen_within", "1"),)

Json = dict[str, Any]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, str]).decode


class Computers(Compared):
    """One organisation's computers, and its names.

    Args:
        name: under which what is known is kept.
        api: of the organisation.
        feed: where what changed is told; None: only names are wanted.
        kept: keeps what is known.
        names: learns of groups, policies and computers.
        sweep_s: from one sweep to the next.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        api: CiscoApi,
        feed: Feed | None,
        kept: Kept,
        names: Names,
        *,
        sweep_s: float = 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.fleet = Fleet(names)
        self._api = api
        self._names = names
        self._sweep_s = sweep_s
        self._clock = clock
        self._swept_at = 0
        self._turns = Turns()
        self._asked = ""  # the last one that a list lacked and that was asked for
        self._lists_kept: dict[str, dict[str, str]] = {}
        self._checkpoint = Checkpoint(name, feed, kept, self._rows, about=NEWCOMERS, turns=self._turns)

    def _rows(self) -> Iterator[tuple[str, bytes | None]]:
        yield from self.fleet.rows()
        yield from self._list_rows().items()

    async def _round(self) -> None:
        """A sweep where it is due, else those that reported.

        Raises:
            ComputersLeftOut: there are more than can be known; the others are told.
        """
        before = self.fleet.left_out
        await self._learn_names()
        began = int(self._clock())
        is_sweep = not 0 <= began - self._swept_at < self._sweep_s
        query = () if is_sweep else _WITHIN_A_DAY
        options: dict[str, Any] = {"query": query, "max_item_bytes": MAX_COMPUTER_BYTES, "turns": self._turns}
        options["passes"] = MAX_PASSES if is_sweep else 1  # whom it misses, the next round finds
        with self._reading(Listing(self._api, "/v1/computers", guid_of("connector_guid"), **options)) as listing:
            some: list[Json] = []
            async for computer in listing.items():
                some.append(computer)
                if len(some) == AT_ONCE:
                    await self._tell(some)
                    some.clear()
            await self._tell(some)
        if is_sweep:
            await self._tell_gone(listing)
            self._swept_at = began
            self._names.as_of = _date_of(began)
        await self._checkpoint.keep(**({SWEPT_AT: b"%d" % began} if is_sweep else {}))
        if left_out := self.fleet.left_out - before:
            others = how_many(len(self.fleet), "other")
            raise ComputersLeftOut(f"{how_many(left_out, 'computer')} left out: {others} known")

    async def _tell(self, computers: list[Json]) -> None:
        """What is new of them."""
        changes = []
        for computer in computers:
            if (change := self.fleet.take(computer)) is not None:
                changes.append(change)
            await self._turns.rest()
        records = [record_of(self._names.organisation, change) for change in changes]
        await self._checkpoint.tell(*records, about=newcomers(changes))

    async def _load(self) -> None:
        rows = await self._checkpoint.load()
        self.fleet = Fleet(self._names)
        self.odd_rows = self._restore_lists(rows)
        for odd in self.fleet.restore(rows):
            if odd is not None:
                self.odd_rows.append(odd)
            await asyncio.sleep(0)  # without a rest: events want the names
        swept_at = rows.get(SWEPT_AT, b"")
        self._swept_at = int(swept_at) if swept_at.isdigit() and len(swept_at) <= 10 else 0
        if self._swept_at and not self.odd_rows:
            self._names.as_of = _date_of(self._swept_at)
        elif self.odd_rows:
            self._swept_at = 0

    async def _learn_names(self) -> None:
        for path, learn in (("/v1/groups", self._names.learn_groups), ("/v1/policies", self._names.learn_policies)):
            listing = Listing(self._api, path, guid_of("guid"))
            named: list[tuple[str, str]] = []
            async for item in listing.items():
                if (name := _text(item.get("name"))) and len(named) < MAX_KNOWN:
                    named.append((item["guid"], name[:MAX_NAME]))
            learn(named)
            self.odd += listing.odd

    def _list_rows(self) -> dict[str, bytes | None]:
        """The names of groups and of policies, where they are others than those that are kept."""
        rows: dict[str, bytes | None] = {}
        for name, known in (("groups", self._names.groups), ("policies", self._names.policies)):
            if known != self._lists_kept.get(name):
                self._lists_kept[name] = known
                data = zlib.compress(_pack(known), 1)
                rows[name] = data if len(data) <= MAX_LIST_BYTES else None
        return rows

    def _restore_lists(self, rows: Mapping[str, bytes]) -> list[str]:
        """Take up the names of groups and policies; returns those of rows of which nothing can be made."""
        odd = []
        for name, learn in (("groups", self._names.learn_groups), ("policies", self._names.learn_policies)):
            if name in rows:
                try:
                    known = _unpack(unpacked(rows[name]))
                except (msgspec.MsgspecError, zlib.error, ValueError):
                    odd.append(name)
                else:
                    learn(known.items())
                    self._lists_kept[name] = known
        return odd

    async def _tell_gone(self, listing: Listing) -> None:
        missing = []
        for guid in self.fleet.guids():
            if guid not in listing:
                missing.append(guid)
            await self._turns.rest()
        is_proof = listing.is_steady and 2 * len(missing) <= len(self.fleet)
        for guid in missing if is_proof else self._next_of(missing):
            if (is_proof or await self._is_gone(guid)) and (gone := self.fleet.lose(guid)) is not None:
                await self._checkpoint.tell(record_of(self._names.organisation, gone))

    def _next_of(self, missing: list[str]) -> list[str]:
        """Those whose turn it is: in the order of their GUIDs, behind the last one that was asked for."""
        ordered = sorted(missing)
        at = bisect_right(ordered, self._asked)
        return [*ordered[at:], *ordered[:at]][:MOST_ASKED]

    async def _is_gone(self, guid: str) -> bool:
        self._asked = guid
        try:
            if is_guid(guid):  # it becomes a part of a path
                await by_guid(self._api, guid)
        except ComputerNotFound:
            return True
        return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _date_of(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
