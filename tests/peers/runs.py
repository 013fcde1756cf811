"""A shipper while it runs: its processes, started again when they end, as systemd would; what they cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fluent_plugin_amp.testing.rabbitmq import QueueDepth
from tests.bench.rig import Rig
from tests.peers.shippers import Shipper
from tests.processes import cpu_seconds, family, memory_mib

STOP_S = 30.0
RESTART_S = 1.0
POLL_S = 0.02


class Run:
    """One shipper, sending to a port, with a folder of its own that it keeps over its starts."""

    def __init__(self, rig: Rig, shipper: Shipper, port: int) -> None:
        self.folder = rig.folder / "shipper"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.starts = 0
        """How often it was started again."""
        self._rig = rig
        self._shipper = shipper
        self._port = port
        self._process = self._start()
        self._ended_at: float | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        return self._shipper.start(self._rig, self._port, self.folder)

    def depth(self) -> QueueDepth:
        """Of its queue."""
        return self._rig.broker.queue_depth(self._rig.streams[0].queue)

    def keep_up(self) -> None:
        """Start it again, a moment after it ended by itself."""
        if self._process.poll() is None:
            return
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        elif time.monotonic() > self._ended_at + RESTART_S:
            self._process, self._ended_at = self._start(), None
            self.starts += 1

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Until the condition holds, keeping it up; False when that takes longer."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.keep_up()
            time.sleep(POLL_S)
        return True

    def log(self) -> str:
        """What it wrote."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else self._rig.log()[-3000:]

    def cpu_s(self) -> float:
        """Seconds of processor so far, of all its processes."""
        return sum(self._each(cpu_seconds))

    def peak_mib(self) -> float:
        """Of resident memory, the sum over its processes."""
        return sum(self._each(memory_mib))

    def _each(self, measure: Callable[[int], float]) -> Iterator[float]:
        for pid in family(self._process.pid):
            with contextlib.suppress(OSError):
                yield measure(pid)

    def kill(self) -> None:
        """SIGKILL, to all its processes."""
        for pid in family(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Start it again, after `kill`."""
        self._process = self._start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is still there after a while."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.kill()


@contextlib.contextmanager
def running(rig: Rig, shipper: Shipper, port: int) -> Iterator[Run]:
    """A run that ends with its ``with``."""
    run = Run(rig, shipper, port)
    try:
        yield run
    finally:
        run.stop()


def written_by(path: Path) -> int:
    """How large a file is that may not exist yet."""
    return path.stat().st_size if path.exists() else 0
