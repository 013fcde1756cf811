"""Chains of completeness records, as a plugin writes them."""

from __future__ import annotations

import msgspec

from fluent_plugin_amp.completeness.record import HOUR_S, Figures, Gap, Link, Origin, Record, body_of, compose

BEGIN = 1_764_288_000
"""2025-11-28T00:00:00Z."""
KEY = b"0123456789abcdef"
EMEA = Origin("emea", "acme", "0.1.0", "b1946ac9")


class Chain:
    """Writes one record after the other.

    Args:
        origin: who writes.
        key: of the HMACs.
    """

    def __init__(self, origin: Origin = EMEA, key: bytes | None = KEY) -> None:
        self.records: list[Record] = []
        self._origin = origin
        self._key = key
        self._link = Link()
        self._revisions: dict[int, int] = {}

    def add(self, hour: int, figures: Figures, *, late_s: int = 0) -> Record:
        """The next record: of the hour that begins so many hours after `BEGIN`."""
        start = BEGIN + hour * HOUR_S
        revision = self._revisions[start] = self._revisions.get(start, 0) + 1
        record = compose(
            self._origin,
            start,
            revision,
            figures,
            looked_at=start + 3 * HOUR_S + late_s,
            delayed_by=late_s or None,
            after=self._link,
            key=self._key,
        )
        self._link = Link(record["sequence"], record["hash"])
        self.records.append(record)
        return record


def clean(count: int = 100) -> Figures:
    """An hour in which all was well."""
    return Figures(
        in_cloud=count,
        missing=0,
        repaired=0,
        not_known=0,
        dropped=0,
        dead_letters=0,
        duplicates=0,
        newest_event=BEGIN,
        queue_depth=0,
        other_consumers=0,
    )


def two_days(origin: Origin = EMEA, key: bytes | None = KEY) -> list[Record]:
    """48 hours: one with 3 events missing, which a second look found delivered, and one with a gap."""
    chain = Chain(origin, key)
    for hour in range(48):
        figures = clean(100 + hour)
        if hour == 10:
            figures = Figures(in_cloud=110, missing=3, not_known=0)
        if hour == 12:
            gap = Gap(BEGIN + 12 * HOUR_S, BEGIN + 12 * HOUR_S + 60, "no server")
            figures = Figures(in_cloud=112, missing=0, not_known=0, gaps=(gap,))
        chain.add(hour, figures, late_s=7200 if hour == 20 else 0)
        if hour == 16:
            chain.add(10, Figures(in_cloud=110, missing=0, not_known=0))
    return chain.records


def copied(records: list[Record]) -> list[Record]:
    """The same, to be tampered with."""
    decoded: list[Record] = [msgspec.json.decode(body_of(record)) for record in records]
    return decoded
