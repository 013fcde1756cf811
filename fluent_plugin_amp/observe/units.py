"""Figures as a person reads them at a glance.  Pure."""

from __future__ import annotations

from datetime import datetime, timezone

_STEPS = ((60.0, "s", 1.0), (3600.0, "min", 60.0), (48 * 3600.0, "h", 3600.0))


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``34 min``, ``5.5 h``, ``8.2 days``: two digits are enough to act on."""
    for limit, unit, factor in _STEPS:
        if seconds < limit:
            return f"{_two_digits(seconds / factor)} {unit}"
    return f"{_two_digits(seconds / 86400.0)} days"


def milliseconds(seconds: float) -> str:
    """``4 ms``, ``850 ms``, ``2.5 s``: for latencies."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1.0 else duration(seconds)


def number(count: int) -> str:
    """``12,345``."""
    return f"{count:,}"


def per_second(rate: float) -> str:
    """``0``, ``0.2``, ``12``, ``1,234``."""
    return "0" if rate <= 0 else "< 0.1" if rate < 0.1 else f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def size(count_bytes: int) -> str:
    """``512 B``, ``3.4 MiB``, ``64 MiB``."""
    amount, unit = float(count_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{_two_digits(amount)} {unit}"


def backlog(messages: int, oldest_s: float, growth_per_s: float | None) -> str:
    """``1,234 events wait, the oldest for about 34 min; shrinking by 9.5 a second, 2.2 min to go``."""
    waiting = "1 event waits" if messages == 1 else f"{number(messages)} events wait"
    text = f"{waiting}, the oldest for about {duration(oldest_s)}"
    if growth_per_s is None or growth_per_s == 0:
        return text
    if growth_per_s > 0:
        return f"{text}; growing by {per_second(growth_per_s)} a second"
    return f"{text}; shrinking by {per_second(-growth_per_s)} a second, {duration(messages / -growth_per_s)} to go"


def moment(at: float) -> str:
    """``2024-01-31T23:59:59Z``."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def day_and_time(at: float) -> str:
    """``2024-01-31 23:59:59Z``: for tables and sentences."""
    return moment(at).replace("T", " ")


def _two_digits(amount: float) -> str:
    return f"{amount:.1f}".removesuffix(".0") if amount < 9.95 else f"{amount:.0f}"
