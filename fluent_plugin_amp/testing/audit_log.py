"""The audit log of an organisation of the local Cisco cloud: ``GET /v1/audit_logs``, as it was recorded.

Entries have no id, and none of their optional fields is always there; `next` is absent on the last page; whether a
bound of the time is included, nobody documents: here both are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

Entry = dict[str, Any]


class AuditLog:
    """The entries, newest first.

    Args:
        newest_first: the order of an answer.
    """

    def __init__(self, *, newest_first: bool = True) -> None:
        self.entries: list[tuple[int, Entry]] = []
        self.arriving: Iterator[list[tuple[int, Entry]]] = iter(())
        """What is added, late, before each answer."""
        self.newest_first = newest_first

    def add(self, second: int, **fields: Any) -> Entry:
        """Something was done at this second; returns its entry, complete with ``created_at``."""
        moment = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {"event": "update", "audit_log_type": "Policy", "created_at": moment, **fields}
        self.entries.append((second, entry))
        return entry

    def between(self, start_time: str, end_time: str) -> list[Entry]:
        """What an answer shows: from one time to the other, both included."""
        for second, entry in next(self.arriving, []):
            self.add(second, **entry)
        first, last = _second(start_time, 0), _second(end_time, 2**62)
        found = [pair for pair in self.entries if first <= pair[0] <= last]
        found.sort(key=lambda pair: pair[0], reverse=self.newest_first)
        return [entry for _, entry in found]


def _second(text: str, default: int) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) if text else default
