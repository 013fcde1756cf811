"""The audit log is read in windows: each entry is handed in, and the place moves only when all of them are safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import msgspec
import pytest

from fluent_plugin_amp import turns
from fluent_plugin_amp.cisco import pieces
from fluent_plugin_amp.cisco.answers import ListPage
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, CloudUnreachable
from fluent_plugin_amp.cisco.pieces import one_object
from fluent_plugin_amp.organisation import audit_logs
from fluent_plugin_amp.organisation.audit_logs import CURSOR, AuditLogs
from fluent_plugin_amp.organisation.windows import DELAY_S, OVERLAP_S
from fluent_plugin_amp.testing.audit_log import AuditLog

NOW = 1_700_000_000


class FakeApi:
    """Pages of two entries; what is in ``failures`` is raised instead of the next page."""

    def __init__(self) -> None:
        self.log = AuditLog()
        self.asked: list[str] = []
        self.failures: Iterator[Exception | None] = iter(())
        self.tells_total = True
        self.pages: list[ListPage] = []
        """In place of the log's."""
        self.ends_early = 0
        """So often, behind the first page."""

    async def audit_log_pages(self, start_time: str, end_time: str) -> AsyncIterator[ListPage]:
        """As `CiscoApi.audit_log_pages`."""
        self.asked.append(start_time)
        offset = 0
        for given in self.pages:
            yield given
        while not self.pages:
            found = self.log.between(start_time, end_time)
            if (failure := next(self.failures, None)) is not None:
                raise failure
            if offset < len(found):
                page = [msgspec.Raw(msgspec.json.encode(entry)) for entry in found[offset : offset + 2]]
                yield ListPage(page, len(found) if self.tells_total else None)
            offset += 2
            if offset >= len(found):
                return
            if self.ends_early:
                self.ends_early -= 1
                return


class FakeFeed:
    """Remembers what it was given, as the memory of what was delivered does."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_safe = True

    async def put(self, body: bytes, *, received_at: float | None = None, perhaps_again: bool = False) -> None:
        """As `Feed.put`."""
        assert perhaps_again
        assert received_at is not None
        self.is_safe = False
        if body not in self.sent:
            self.sent.append(body)

    async def finish(self) -> None:
        """As `Feed.finish`."""
        self.is_safe = True


class FakeKept:
    """As `KeptRows`; nothing may be kept before all is safe."""

    def __init__(self, feed: FakeFeed) -> None:
        self.values: dict[str, bytes] = {}
        self._feed = feed

    async def load_of(self, source: str) -> dict[str, bytes]:
        """Part of `Kept`."""
        return dict(self.values)

    async def save(self, source: str, values: dict[str, bytes | None]) -> None:
        """Part of `Kept`."""
        assert self._feed.is_safe
        self.values.update({name: data for name, data in values.items() if data is not None})


class Rig:
    """A source with everything around it, and a clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.api, self.feed = FakeApi(), FakeFeed()
        self.kept = FakeKept(self.feed)
        self.start()

    def start(self) -> None:
        """Begin, as a new process does."""
        api = cast(CiscoApi, self.api)
        self.source = AuditLogs("acme/audit_logs", api, self.feed, self.kept, clock=lambda: self.now)

    async def poll(self, later_s: int = 300) -> None:
        """One round, after some time."""
        self.now += later_s
        await self.source.poll()

    @property
    def items(self) -> list[str]:
        """What was sent, by the numbers of its entries."""
        return sorted(body.decode().split('"item":"')[1].split('"')[0] for body in self.feed.sent)


@pytest.fixture
def rig() -> Rig:
    """A source that has not begun."""
    return Rig()


async def test_each_entry_is_sent_once_and_the_place_is_kept(rig: Rig) -> None:
    """Over pages and windows; what has been there since before the overlap is not sent."""
    rig.api.log.add(NOW - 2 * OVERLAP_S, item="before")
    for number in range(5):
        rig.api.log.add(NOW + number, item=str(number))
    for _ in range(3):
        await rig.poll()
    assert rig.items == ["0", "1", "2", "3", "4"]
    assert rig.kept.values == {CURSOR: b"%d" % (rig.now - DELAY_S)}


async def test_a_page_is_read_entry_by_entry(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events go on in between: each entry may have thousands of values."""
    happened: list[str] = []

    def decoded(raw: msgspec.Raw, asked: str) -> dict[str, Any]:
        happened.append("an entry")
        asyncio.get_running_loop().call_soon(happened.append, "an event")
        return one_object(raw, asked)

    monkeypatch.setattr(pieces, "one_object", decoded)
    monkeypatch.setattr(turns, "WORK_S", 0.0)
    await rig.poll()
    for _ in range(2):
        rig.api.log.add(NOW + 300, item="same page")
    await rig.poll(2 * DELAY_S)
    assert happened == ["an entry", "an event"] * 2


async def test_an_entry_that_is_no_object_is_told(rig: Rig) -> None:
    """As an answer that is not understood."""
    rig.api.log.entries.append((NOW, cast(dict[str, Any], 7)))
    with pytest.raises(CloudAnswerNotUnderstood, match="GET /v1/audit_logs: data is not a list of objects"):
        await rig.poll()


async def test_a_number_of_thousands_of_digits_costs_itself(rig: Rig) -> None:
    """Its entry is sent all the same, and those beside it."""
    page = [b'{"item":"1","n":' + b"7" * 5000 + b"}", b'{"item":"2"}']
    rig.api.pages = [ListPage([msgspec.Raw(entry) for entry in page], 2)]
    await rig.poll()
    assert rig.feed.sent == [b'{"item":"1","n":null}', b'{"item":"2"}']


async def test_equal_entries_are_sent_as_often_as_there_are(rig: Rig) -> None:
    """Across pages, in whatever window, and not again in the next one."""
    for _ in range(5):
        rig.api.log.add(NOW, item="same")
    await rig.poll()
    await rig.poll()
    assert rig.items == ["same"] * 5


async def test_an_entry_that_comes_late_is_sent(rig: Rig) -> None:
    """As long as it is not later than the overlap."""
    await rig.poll()
    rig.api.log.add(rig.now - OVERLAP_S // 2, item="late")
    await rig.poll(100)
    assert rig.items == ["late"]


async def test_a_list_that_moves_while_it_is_read_is_read_anew(rig: Rig) -> None:
    """Entries are pushed to the next page: none is sent twice, none is left out."""
    for number in range(6):
        rig.api.log.add(NOW + number, item=str(number))
    rig.api.log.arriving = iter([[], [(NOW + 9, {"item": "6"})], [(NOW + 8, {"item": "7"})]])
    await rig.poll()
    assert rig.items == [str(number) for number in range(8)]


async def test_a_list_that_ends_too_early_is_read_anew(rig: Rig) -> None:
    """The cloud tells how many entries there are: nothing is skipped because of a page that is missing."""
    for number in range(6):
        rig.api.log.add(NOW + number, item=str(number))
    rig.api.ends_early = 2
    await rig.poll()
    assert rig.items == [str(number) for number in range(6)]


async def test_a_list_that_never_holds_still_is_an_error(rig: Rig) -> None:
    """The place stays; the next round tries again."""
    for number in range(6):
        rig.api.log.add(NOW + number, item=str(number))
    rig.api.log.arriving = iter([[(NOW + 9, {"item": f"late {number}"})] for number in range(100)])
    with pytest.raises(CloudAnswerNotUnderstood, match="changed, or ended too early, each time"):
        await rig.poll()
    assert rig.kept.values == {CURSOR: b"%d" % (rig.now - DELAY_S - 1)}


async def test_trouble_of_the_cloud_moves_nothing_and_skips_nothing(rig: Rig) -> None:
    """Nor does a new process in the middle of it."""
    for number in range(6):
        rig.api.log.add(NOW + number, item=str(number))
    rig.now += 300
    for at in range(3):
        rig.api.failures = iter([None] * at + [CloudUnreachable("away")])
        with pytest.raises(CloudUnreachable):
            await rig.poll(10)
        rig.start()
    rig.api.failures = iter(())
    await rig.poll()
    assert rig.items == [str(number) for number in range(6)]


async def test_a_clock_that_was_ahead_skips_nothing(rig: Rig) -> None:
    """The place came with it to a time that is not there yet; what happened since is read all the same."""
    await rig.poll()
    await rig.poll(40 * 86_400)
    rig.now = NOW + 3600
    rig.api.log.add(NOW + 1800, item="meanwhile")
    for _ in range(2):
        await rig.poll()
    assert rig.items == ["meanwhile"]
    assert rig.kept.values == {CURSOR: b"%d" % (rig.now - DELAY_S)}


async def test_after_days_the_place_moves_day_by_day(rig: Rig) -> None:
    """So a crash in between costs a day's reading at most."""
    await rig.poll()
    await rig.poll(5 * 86_400)
    assert len(rig.api.asked) == 1 + 5
    assert rig.kept.values == {CURSOR: b"%d" % (rig.now - DELAY_S)}


async def test_a_window_of_too_many_entries_is_read_in_parts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to a second; each entry comes all the same."""
    monkeypatch.setattr(audit_logs, "MOST_ENTRIES", 3)
    for number in range(9):
        rig.api.log.add(NOW + number // 5, item=str(number))
    await rig.poll()
    assert rig.items == [str(number) for number in range(9)]
    assert rig.kept.values == {CURSOR: b"%d" % (rig.now - DELAY_S)}


async def test_what_is_outside_of_the_window_is_not_taken(rig: Rig) -> None:
    """A cloud that ignores the times would have all of its log sent at the first round."""
    rig.api.log.add(NOW, item="inside")
    old = rig.api.log.add(NOW - 86_400, item="outside")
    rig.api.log.entries[1] = (NOW, old)
    without_time: dict[str, Any] = rig.api.log.add(NOW, item="timeless")
    without_time["created_at"] = "?"
    await rig.poll()
    assert rig.items == ["inside", "timeless"]
