"""The statistics lines: what each stream did since the last ones.  Pure, but for reading the memory in use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fluent_plugin_amp.model import Counters


@dataclass(frozen=True, slots=True)
class Sample:
    """One stream at one moment: totals since the start of the process."""

    stream: str
    received: int
    delivered: int
    duplicates: int
    dropped: int
    dead_letters: int
    unacked: int

    @classmethod
    def take(cls, stream: str, counters: Counters, unacked: int) -> Sample:
        """The stream as it is now."""
        return cls(
            stream,
            counters.received,
            counters.delivered,
            counters.duplicates,
            counters.dropped,
            counters.dead_letters,
            unacked,
        )


def statistics(before: list[Sample], after: list[Sample], seconds: float, rss_bytes: int) -> list[str]:
    """One line in total, and one for each stream that was not idle between the two samplings."""
    earlier = {sample.stream: sample for sample in before}
    lines = []
    totals = dict.fromkeys(("received", "delivered", "duplicates", "dropped", "dead_letters", "unacked"), 0)
    for sample in after:
        base = earlier.get(sample.stream)
        grown = {
            name: getattr(sample, name) - (getattr(base, name) if base and name != "unacked" else 0)
            for name in totals
        }
        for name, value in grown.items():
            totals[name] += value
        if any(grown.values()):
            lines.append(f"stream {sample.stream}: {_figures(grown, seconds)}")
    total = f"total of {len(after)} stream(s): {_figures(totals, seconds)}, {rss_bytes / 2**20:.0f} MiB resident"
    return [total, *lines]


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096


def _figures(grown: dict[str, int], seconds: float) -> str:
    rate = grown["delivered"] / seconds if seconds else 0.0
    return (
        f"{grown['received']} received, {grown['delivered']} delivered ({rate:.1f}/s), "
        f"{grown['duplicates']} duplicates, {grown['dropped']} dropped, {grown['dead_letters']} dead letters, "
        f"{grown['unacked']} unacked"
    )
