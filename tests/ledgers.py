"""What stands behind the deliveries of a test in place of a channel of the broker."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class FakeLedger:
    """A `model.Ledger` that only remembers."""

    closed: bool = False
    resolved: list[int] = field(default_factory=list)
    """The delivery tags that may be acked."""

    def resolve(self, delivery_tag: int) -> None:
        """Part of model.Ledger."""
        self.resolved.append(delivery_tag)
