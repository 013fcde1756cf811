"""A short, seeded run of the fuzzer; ``make fuzz`` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.verdict import faults_of, summary
from tests.fuzz.world import make_world

SEED = 7
DURATION_S = 15.0


def test_the_rest_notices_nothing(tmp_path: Path) -> None:
    """Hostile peers, messages, clients and files: the plain stream is complete, and the plugin ends when told to."""
    with make_world(tmp_path, SEED) as world:
        figures = world.run(DURATION_S)
        log = world.plugin.log_file.read_text(errors="replace")
    print(summary(figures))
    assert faults_of(figures) == [], log
