"""The recorded events of an organisation of the local Cisco cloud: what ``GET /v1/events`` shows.

Newest first by the time of the event, filtered as the API is documented to, and quick with some hundred thousand of
them: what a query found is kept for the pages that follow.  With ``rounded_ids`` an id beyond 2^53 comes rounded
through a float, as Cisco's API was seen to show ids: 6180352115244794000.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

KEPT_QUERIES = 8

Event = dict[str, Any]
Query = Sequence[tuple[str, str]]


class _Row(NamedTuple):
    """Of those of the same time, the order of arrival decides."""

    seconds: int
    nanoseconds: int
    number: int
    event: Event


class RecordedEvents:
    """Recorded events, and the queries that are made of them."""

    def __init__(self) -> None:
        self.rounded_ids = False
        self._rows: list[_Row] = []  # the oldest first: what happens now is appended
        self._numbers = count()
        self._found: dict[tuple[tuple[str, str], ...], list[_Row]] = {}
        """Of recent queries; kept up to date."""

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, event: Event) -> None:
        """An event is recorded."""
        seconds, nanoseconds = (_integer(event.get(name)) for name in ("timestamp", "timestamp_nanoseconds"))
        row = _Row(seconds, nanoseconds, next(self._numbers), event)
        insort(self._rows, row, key=_order)
        for query, found in self._found.items():
            if _asked_for(event, query):
                insort(found, row, key=_order)

    def forget_newest(self, number: int) -> None:
        """The cloud shows fewer events than a moment ago."""
        del self._rows[len(self._rows) - number :]
        self._found.clear()

    def newest_first(self, query: Query) -> Sequence[Event]:
        """What the query asks for; its ``limit`` and ``offset`` are left to the caller."""
        filters = tuple((name, value) for name, value in query if name not in ("limit", "offset"))
        found = self._found.get(filters)
        if found is None:
            found = [row for row in self._rows if _asked_for(row.event, filters)]
            if len(self._found) >= KEPT_QUERIES:
                self._found.clear()
            self._found[filters] = found
        return _NewestFirst(found, _with_rounded_id if self.rounded_ids else _as_it_is)


class _NewestFirst(Sequence[Event]):
    """Rows as events; only those that are looked at are made."""

    def __init__(self, rows: list[_Row], show: Callable[[Event], Event]) -> None:
        self._rows = rows
        self._show = show

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            places = range(len(self._rows) - 1, -1, -1)[index]
            return [self._show(self._rows[place].event) for place in places]
        return self._show(self._rows[-1 - index].event)


def rounded(event_id: int) -> int:
    """An id as a program shows it that keeps numbers as floats, and prints no more digits than it must."""
    return int(Decimal(repr(float(event_id)))) if abs(event_id) > 2**53 else event_id


def _order(row: _Row) -> tuple[int, int, int]:
    return row.seconds, row.nanoseconds, row.number


def _integer(value: object) -> int:
    return value if type(value) is int else 0


def _as_it_is(event: Event) -> Event:
    return event


def _with_rounded_id(event: Event) -> Event:
    event_id = event.get("id")
    return {**event, "id": rounded(event_id)} if type(event_id) is int else event


def _asked_for(event: Event, query: Query) -> bool:
    """Whether ``GET /v1/events`` with this query lists the event."""
    asked: dict[str, list[str]] = {}
    for name, value in query:
        asked.setdefault(name.removesuffix("[]"), []).append(value)
    file = event.get("file") or {}
    compared: dict[str, Callable[[], Sequence[object]]] = {
        "event_type": lambda: [str(event.get("event_type_id"))],
        "connector_guid": lambda: [event.get("connector_guid")],
        "group_guid": lambda: event.get("group_guids") or [],
        "detection_sha256": lambda: [_sha256(file)],
        "application_sha256": lambda: [_sha256(file.get("parent") or {})],
    }
    for name, values in compared.items():
        if name in asked and not any(value in asked[name] for value in values()):
            return False
    return all(_integer(event.get("timestamp")) >= _moment(start) for start in asked.get("start_date", ()))


def _moment(text: str) -> float:
    """Seconds since the epoch; a text without an offset is UTC, one that is no date asks for everything."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _sha256(file: Event) -> object:
    return (file.get("identity") or {}).get("sha256")
