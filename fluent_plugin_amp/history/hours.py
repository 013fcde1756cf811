"""The figures of each hour, counted from the batches of a walk."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluent_plugin_amp.history.batches import Batch
from fluent_plugin_amp.state.store import Store

HOUR_S = 3600


@dataclass(slots=True)
class Hour:
    """Events that happened in one hour."""

    in_cloud: int = 0
    missing: int = 0
    not_known: int = 0

    @property
    def delivered(self) -> int:
        """What is left of those in the cloud."""
        return self.in_cloud - self.missing - self.not_known

    def as_json(self) -> dict[str, int]:
        """All four figures."""
        return {
            "in_cloud": self.in_cloud,
            "delivered": self.delivered,
            "missing": self.missing,
            "not_known": self.not_known,
        }


@dataclass(slots=True)
class Hours:
    """Counts batches."""

    known_since: int | None = None
    """Of what happened earlier, the state file cannot tell; None: it knows nothing of this stream."""
    hours: dict[int, Hour] = field(default_factory=dict)
    """By the second in which they begin."""
    dropped: int = 0
    edges: int = 0
    """See `Batch.edges`."""
    is_cut: bool = False
    """See `Batch.is_cut`."""

    def count(self, batch: Batch) -> list[int]:
        """Count the batch; returns which of it have to be sent so that nothing is missing."""
        self.dropped += batch.dropped
        self.edges += batch.edges
        self.is_cut = self.is_cut or batch.is_cut
        for facts in batch.facts:
            self._hour(facts.seconds).in_cloud += 1
        for index in batch.unknown.missing:
            second = batch.facts[index].seconds
            if self._is_known(second):
                self._hour(second).missing += 1
            else:
                self._hour(second).not_known += 1
        return [index for index in batch.unknown.candidates if self._is_known(batch.facts[index].seconds)]

    def fits(self, total: int) -> bool:
        """Whether what was counted can be what the cloud's totals say (`cisco.history.total_between`)."""
        return abs(total - self.total.in_cloud - self.dropped) <= self.edges

    @property
    def total(self) -> Hour:
        """Of all hours."""
        hours = self.hours.values()
        return Hour(
            sum(hour.in_cloud for hour in hours),
            sum(hour.missing for hour in hours),
            sum(hour.not_known for hour in hours),
        )

    def _hour(self, second: int) -> Hour:
        return self.hours.setdefault(second // HOUR_S * HOUR_S, Hour())

    def _is_known(self, second: int) -> bool:
        return self.known_since is not None and second >= self.known_since


def known_since(store: Store, stream: str, now: float, remember_s: float) -> int | None:
    """The second from which on the state file tells what was delivered of a stream; None: it knows nothing of it."""
    oldest_at = store.oldest_at(stream)
    return None if oldest_at is None else max(oldest_at, int(now - remember_s))
