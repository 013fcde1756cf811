"""`fluent-plugin-amp demo`: what a newcomer sees first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fluent_plugin_amp.errors import EXIT_OK

EVENTS = 200
DEADLINE_S = 120.0


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that have this folder in their environment: it is everybody's TMPDIR or HOME."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_demo(tmp_path: Path) -> None:
    """Events, an audit log entry and a group's name are shown as they arrive; it ends, and leaves nothing behind."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "fluent_plugin_amp", "demo", "--events", str(EVENTS)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "200"},
        check=False,
    )
    assert ended.returncode == EXIT_OK, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1] == f"{EVENTS} published, {EVENTS} delivered, 0 duplicated, 0 left in the queue"
    assert sum(line.startswith("  edr.cisco.amp.events: {") for line in lines) == 5
    assert sum(line.startswith("  edr.cisco.amp.audit_logs: {") for line in lines) == 1
    (names,) = [json.loads(line.removeprefix("  names: ")) for line in lines if line.startswith("  names: ")]
    assert (names["organisation"], len(names["groups"])) == ("acme", 1)
    deadline = time.monotonic() + DEADLINE_S
    while left := processes_of(temporary):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert list(temporary.iterdir()) == []
