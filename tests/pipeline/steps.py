"""Work, counted: how many lines of the plugin run.  Unlike time, it is the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import fluent_plugin_amp

_PACKAGE = str(Path(fluent_plugin_amp.__file__).parent)


def steps(work: Callable[[], object]) -> int:
    """Lines of the package that run in ``work``."""
    count = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
        return local

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(_PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def grows_linearly(work: Callable[[int], Callable[[], object]], size: int) -> bool:
    """Whether four times as much takes at most five times as many steps; ``work`` prepares what is counted."""
    small, large = steps(work(size)), steps(work(4 * size))
    return large <= 5 * small
