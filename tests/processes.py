"""What Linux tells of a running process."""

from __future__ import annotations

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
