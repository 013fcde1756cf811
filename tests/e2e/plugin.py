"""`fluent-plugin-amp run` as a process, for the end-to-end tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DEADLINE_S = 40.0


class Plugin:
    """One process of the plugin, its configuration and its log."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *arguments: str, command: str = "run") -> None:
        self.folder = folder
        self.config_file = folder / "config.yml"
        self.config_file.touch(mode=0o600)
        self.config_file.write_text(yaml.safe_dump(dict(config)))
        self.log_file = folder / "plugin.log"
        self.arguments = [command, "-c", str(self.config_file), *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Plugin:
        """Start it; the log goes on where an earlier process left off."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fluent_plugin_amp", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if "--stdout" in self.arguments else log,
                stderr=log,
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
        return self.log_file.read_text() if self.log_file.exists() else ""

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
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{self.log}"
            assert self.process is None or self.process.poll() is None, f"the plugin ended:\n{self.log}"
            time.sleep(0.02)

    def __enter__(self) -> Plugin:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
