"""The events of the cloud in batches: what is held of them is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import pytest

from fluent_plugin_amp.cisco.answers import EventPage, EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, Query, wait_silently
from fluent_plugin_amp.config import StreamConfig
from fluent_plugin_amp.history import batches as module
from fluent_plugin_amp.history.batches import batches
from fluent_plugin_amp.history.span import Bookmark

NOW = 1_700_000_000
QUEUE = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}
STREAM = StreamConfig.model_validate({"name": "s", **QUEUE})


class FakeApi:
    """Pages of two events."""

    rate_limit = None

    def __init__(self, events: Sequence[bytes]) -> None:
        self._events = events

    async def event_page(self, filters: Query, *, offset: int, limit: int) -> EventPage:
        """As `CiscoApi.event_page`."""
        end = offset + min(2, limit)
        return EventPage([*map(msgspec.Raw, self._events[offset:end])], len(self._events), end >= len(self._events))


@pytest.mark.parametrize(("most", "sizes"), [(module.MAX_HELD_BYTES, [1, 6]), (250, [1, 2, 2, 2])])
async def test_a_second_is_held_until_it_takes_too_much(
    monkeypatch: pytest.MonkeyPatch, most: int, sizes: list[int]
) -> None:
    """Its events are compared together; a cloud may give one on each page, of any size."""
    monkeypatch.setattr(module, "MAX_HELD_BYTES", most)
    body = b'{"id":%d,"timestamp":%d,"x":"' + b"x" * 100 + b'"}'
    api = cast(CiscoApi, FakeApi([body % (number, NOW - (number > 0)) for number in range(7)]))
    leg = Bookmark(NOW - 60, NOW + 60, NOW - 60, NOW + 60, 0)
    found = [batch async for batch in batches(api, EventStream(1, "s"), leg, STREAM, None, wait_silently)]
    assert [len(batch.bodies) for batch in found if batch.bodies] == sizes
