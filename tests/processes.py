"""What Linux tells of a running process."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Literal


def cpu_seconds(pid: int) -> float:
    """User and system time so far.  OSError: there is no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: Literal["VmRSS", "VmHWM"] = "VmHWM") -> float:
    """Resident memory now, or at its peak; 0 for a process that has just ended.  OSError: there is none."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def family(pid: int) -> list[int]:
    """The process and all its descendants that run, parents first; empty when there is none."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(path.parent.name))
    found = [pid] if any(pid in of_one for of_one in children.values()) else []
    for member in found:
        found += children.get(member, [])
    return found
