"""The batches of an audit log: each entry once, later days first, and what was delivered is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec

from fluent_plugin_amp.cisco.answers import ListPage
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.history.batches import Batch
from fluent_plugin_amp.history.log_batches import log_batches
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import Block
from fluent_plugin_amp.testing.audit_log import AuditLog

NOW = 1_700_000_000
DAY_S = 86_400
LINE = "acme/audit_logs"
ODD: dict[str, Any] = {"event": "update", "created_at": "once", "item": "odd"}
LEG = Bookmark(NOW - 3 * DAY_S, NOW, NOW - 3 * DAY_S, NOW, 0)


class FakeApi:
    """Pages of two entries; `ODD` is in every answer."""

    def __init__(self) -> None:
        self.log = AuditLog()
        self.asked: list[str] = []

    async def audit_log_pages(self, start_time: str, end_time: str) -> AsyncIterator[ListPage]:
        """As `CiscoApi.audit_log_pages`."""
        self.asked.append(start_time[:10])
        offset = 0
        while offset < len(found := [ODD, *self.log.between(start_time, end_time)]):
            page = [msgspec.Raw(msgspec.json.encode(entry)) for entry in found[offset : offset + 2]]
            yield ListPage(page, len(found))
            offset += 2


async def batches_of(api: FakeApi, store: Store | None = None, leg: Bookmark = LEG) -> list[Batch]:
    """All of them."""
    return [batch async for batch in log_batches(cast(CiscoApi, api), LINE, leg, store)]


def sent(batches: list[Batch]) -> list[bytes]:
    """What would be delivered, in order."""
    return [batch.bodies[index] for batch in batches for index in batch.unknown.candidates]


async def test_later_days_come_first_and_each_entry_once() -> None:
    """Though the list moves while it is read, and an entry without a time comes with each day."""
    api = FakeApi()
    for hours in (1, 2, 30, 31, 31, 60):
        api.log.add(NOW - hours * 3600, item=str(hours))
    api.log.arriving = iter([[], [(NOW - 3 * 3600, {"item": "late"})]])
    batches = await batches_of(api)
    assert api.asked == ["2023-11-13", "2023-11-13", "2023-11-12", "2023-11-11"]
    assert [sum(item in body for body in sent(batches)) for item in (b'"31"', b'"late"', b'"odd"')] == [2, 1, 1]
    assert len(sent(batches)) == len(set(sent(batches))) == 8
    floors = [batch.mark.floor for batch in batches if batch.mark is not None]
    assert floors == sorted(floors, reverse=True)
    assert (floors[-1], len(floors)) == (LEG.down_to, len(batches))
    assert [batch.progress.read for batch in batches][-1] == 8
    assert (batches[-1].progress.left, batches[-1].progress.left_s) == (0, 0.0)
    days = [batch for batch in batches if not batch.bodies and batch.progress.left]
    assert days[0].progress.left == 2 * days[0].progress.read


async def test_what_was_delivered_is_known(tmp_path: Path) -> None:
    """By its bytes: of two equal ones that of which there is a record; without a time, from the index."""
    api = FakeApi()
    for _ in range(2):
        api.log.add(NOW - 3600, item="twin")
    store = Store.open(tmp_path / "state.db", create=True)
    first, *_ = everything = sent(await batches_of(api, store))
    assert b"odd" in first
    known = [body for body in everything if not body.endswith(b" ")]
    facts = [EventIdentity(None, NOW - 3600 if b"twin" in body else NOW, 0, None, None) for body in known]
    with store.transaction():
        store.add_delivered([Block(LINE, NOW, [digest_of(body) for body in known], facts)])
    store.index_all()
    batches = await batches_of(api, store)
    assert sent(batches) == [body for body in everything if body.endswith(b" ")]
    assert sum(len(batch.bodies) for batch in batches) == 3
    store.close()


async def test_what_is_left_of_an_interrupted_run() -> None:
    """Down to where it is to go, and not above where it was."""
    api = FakeApi()
    for hours in (1, 25, 49):
        api.log.add(NOW - hours * 3600, item=str(hours))
    left = Bookmark(LEG.since, LEG.until, NOW - 2 * DAY_S, NOW - DAY_S, 0)
    dated = [body for body in sent(await batches_of(api, leg=left)) if b"odd" not in body]
    assert [b'"25"' in body for body in dated] == [True]
