"""What the measures of `make bench` work with, and give."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.testing.events import EventGenerator
from tests.bench.latencies import EVENT_BYTES
from tests.bench.rig import Rig, Snapshot


@dataclass(frozen=True)
class Row:
    """One line of the table: what, and its values of several turns."""

    what: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Job:
    """What is measured with, and how often."""

    rig: Rig
    events: int
    """Of the main table; the others take a quarter."""
    turns: int
    """Of what is compared with the bare loop."""
    say: Callable[[str], None]

    @property
    def few(self) -> int:
        """Turns of everything else."""
        return (self.turns + 1) // 2

    def bodies(self, count: int | None = None, size: int = EVENT_BYTES) -> list[bytes]:
        """Events of all kinds."""
        if size < EVENT_BYTES:
            return [small_event(number, size) for number in range(count or self.events)]
        return list(EventGenerator(seed=1).bodies(count or self.events, size=size))

    def alternate(self, ways: Mapping[str, Callable[[], Snapshot]], turns: int) -> dict[str, list[Snapshot]]:
        """Each way in turn, several times over."""
        figures: dict[str, list[Snapshot]] = {way: [] for way in ways}
        for turn in range(turns):
            for way, measure in ways.items():
                found = measure()
                figures[way].append(found)
                self.say(f"turn {turn + 1}: {way:32} {found.rate:8.0f} events/s {found.peak_mib:5.0f} MiB")
        return figures


def small_event(number: int, size: int) -> bytes:
    """An event of the fields that none is without."""
    head = b'{"id":%d,"timestamp":%d,"timestamp_nanoseconds":%d,"event_type_id":553648147,"event_type":"' % (
        *(6_533_241_145_273_614_000 + number, 1_700_000_000 + number // 100, number % 100 * 1_000_000),
    )
    return head + b"x" * (size - len(head) - 2) + b'"}'


def with_state(rig: Rig) -> dict[str, Any]:
    """A state file that has never been used."""
    shutil.rmtree(rig.folder / "state", ignore_errors=True)
    (rig.folder / "state").mkdir()
    return {"state": {"path": str(rig.folder / "state" / "state.db")}}
