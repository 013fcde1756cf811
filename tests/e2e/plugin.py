"""`fluent-plugin-amp` as a process, for the end-to-end tests.

What waits comes twice: ``wait…`` blocks, for tests without an event loop; the coroutines let a `FakeFluentd` in the
test's own loop go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from fluent_plugin_amp.testing.waiting import DEADLINE_S

POLL_S = 0.02


class Plugin:
    """One process of the plugin, its configuration and its log.

    Args:
        folder: of its own, made if missing.
        config: None for a command without one.
        arguments: after the command.
        prelude: Python statements that the process executes first, such as ones that shorten a back-off.
        environment: variables besides those of this process.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any] | None,
        *arguments: str,
        command: str = "run",
        prelude: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_file = folder / "config.yml"
        self.log_file = folder / "plugin.log"
        self.arguments = [command, *arguments]
        if config is not None:
            self.config_file.touch(mode=0o600)
            self.config_file.write_text(yaml.safe_dump(dict(config)))
            self.arguments[1:1] = ["-c", str(self.config_file)]
        self.process: subprocess.Popen[bytes] | None = None
        self._start_python = [sys.executable, "-m", "fluent_plugin_amp"]
        if prelude:
            self._start_python[1:] = ["-c", f"{prelude}\nfrom fluent_plugin_amp.commands.cli import main\nmain()"]
        self._environment = {**os.environ, **(environment or {})}

    def start(self) -> Plugin:
        """Start it; the log goes on where an earlier process left off."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._start_python, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if "--stdout" in self.arguments else log,
                stderr=log,
                env=self._environment,
            )
        return self

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything logged so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """The exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def wait_for_log(self, text: str, timeout_s: float = DEADLINE_S) -> None:
        """Until ``text`` is in the log."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log:
            self._check_alive(text, deadline)
            time.sleep(POLL_S)

    async def logged(self, text: str, *, times: int = 1, timeout_s: float = DEADLINE_S) -> None:
        """Return when ``text`` is in the log, so many times."""
        deadline = time.monotonic() + timeout_s
        while self.log.count(text) < times:
            self._check_alive(text, deadline)
            await asyncio.sleep(POLL_S)

    async def ended(self, timeout_s: float = DEADLINE_S) -> int:
        """The exit code, once it has ended."""
        return await asyncio.to_thread(self.wait, timeout_s)

    async def stopped(self) -> int:
        """SIGTERM; the exit code, once it has ended."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    def _check_alive(self, text: str, deadline: float) -> None:
        assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{self.log}"
        assert self.process is None or self.process.poll() is None, f"the plugin ended:\n{self.log}"

    def __enter__(self) -> Plugin:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


async def eventually(condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Return when ``condition`` holds; it is asked in a thread, so it may block."""
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(POLL_S)
