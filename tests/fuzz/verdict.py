"""What a run of the fuzzer must show, and the words for it.  Pure."""

from __future__ import annotations

from tests.fuzz.world import Snapshot

PEAK_MIB = 250.0
GROWTH = 1.25
"""How much more memory the last quarter may take than the second one did."""


def growth(rss_mib: list[float]) -> float:
    """The peak of the last quarter as a multiple of the second one's; the first is for warming up."""
    quarter = len(rss_mib) // 4
    if not quarter:
        return 1.0
    return max(rss_mib[-quarter:]) / max(1.0, *rss_mib[quarter : 2 * quarter])


def faults_of(figures: Snapshot) -> list[str]:
    """Each broken promise, in words."""
    faults = []
    if figures.ended_early:
        faults.append(f"the plugin ended by itself, with {figures.exit_code}")
    elif figures.exit_code != 0:
        faults.append(f"told to stop, the plugin ended with {figures.exit_code}")
    if figures.missing:
        faults.append(f"{len(figures.missing)} plain events are missing: {sorted(figures.missing)[:10]}")
    if figures.buried:
        faults.append(f"{len(figures.buried)} plain events became dead letters: {sorted(figures.buried)[:10]}")
    faults += [f"{count} messages are left in {queue}" for queue, count in figures.left.items() if count]
    if figures.probes_missed:
        faults.append(f"/healthz did not answer {figures.probes_missed} of {figures.probes} times")
    if (peak := max(figures.rss_mib, default=0.0)) > PEAK_MIB:
        faults.append(f"{peak:.0f} MiB of memory")
    if (grown := growth(figures.rss_mib)) > GROWTH:
        faults.append(f"memory grew to {grown:.2f} times of what it was")
    faults += [f"a good server was sent what it refuses: {each}" for each in figures.violations[:10]]
    return faults + [f"the fuzzer itself failed: {each}" for each in figures.failures]


def summary(figures: Snapshot) -> str:
    """All figures."""
    lines = [
        f"{figures.published} plain events: {len(figures.missing)} missing, {len(figures.buried)} buried",
        f"{figures.letters} dead letters in all",
        f"/healthz answered {figures.probes - figures.probes_missed} of {figures.probes} times, "
        f"within {figures.slowest_probe_s:.2f} s",
        f"memory: {max(figures.rss_mib, default=0.0):.0f} MiB at most, in the last quarter "
        f"{growth(figures.rss_mib):.2f} times what the second one took",
        "contained: "
        + (
            ", ".join(f"{kind} in {where.strip()} {n} times" for (where, kind), n in figures.contained.items())
            or "none"
        ),
        f"log: {figures.log_mib:.1f} MiB",
    ]
    for name, done in sorted(figures.done.items()):
        connections = f"{figures.connections[name]} connections; " if name in figures.connections else ""
        lines.append(f"{name}: {connections}{', '.join(f'{what} {count}' for what, count in sorted(done.items()))}")
    return "\n".join(lines)
