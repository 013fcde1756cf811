"""Real servers as processes, with the configuration a test gives them: Fluentd, Fluent Bit, rsyslog.

What is not on this machine makes a test "not run", with the reason in the summary of the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from fluent_plugin_amp.testing.waiting import DEADLINE_S

if TYPE_CHECKING:
    from typing_extensions import Self

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05

CONF = Path(__file__).parent.parent / "conf"

_HINTS = {
    "fluentd": "fluentd 1.16 or later on PATH (a gem)",
    "fluent-bit": "fluent-bit 3 or later on PATH",
    "rsyslogd": "rsyslogd on PATH (Debian: rsyslog, rsyslog-gnutls)",
    "promtool": "promtool on PATH (Debian: prometheus)",
}


def need(*programs: str) -> None:
    """End the test as "not run" unless all ``programs`` are on PATH."""
    for program in programs:
        if not find(program):
            pytest.skip(f"not run: needs {_HINTS.get(program, f'{program} on PATH')}")


def need_kustomize() -> None:
    """End the test as "not run" without a kubectl whose kustomize knows the files of examples/kubernetes."""
    need("kubectl")
    command = ["kubectl", "version", "--client", "--output=json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    if int(re.sub(r"\D", "", answer["clientVersion"]["minor"])) < 27:
        pytest.skip("not run: needs kubectl 1.27 or later on PATH")


def find(program: str) -> str | None:
    """Where a program is, in /usr/sbin too."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def version(program: str) -> str:
    """The version a program tells."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    found = re.search(r"\d+\.\d+\.\d+", answer.stdout)
    return found.group() if found else "unknown"


def shipped(name: str, replacements: Mapping[str, str]) -> str:
    """The text of ``conf/<name>`` with what a test must have of its own; each text to replace must be there."""
    text = (CONF / name).read_text()
    for old, new in replacements.items():
        assert old in text, f"conf/{name} no longer holds {old!r}"
        text = text.replace(old, new)
    return text


class Server:
    """One server: a command that runs in a folder of its own, and the ports that tell that it is up."""

    def __init__(
        self, folder: Path, command: list[str], *ports: int | Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.command = command
        self.ports = ports
        self.log_file = folder / f"{Path(command[0]).name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, **(environment or {})}

    @property
    def log(self) -> str:
        """Everything printed so far, over all starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> Self:
        """Start it, and wait for its ports."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        for port in self.ports:
            self.wait_until(partial(accepts, port), f"listening on {port}", START_TIMEOUT_S)
        return self

    def wait_until(self, condition: Callable[[], object], what: str, timeout_s: float = DEADLINE_S) -> None:
        """Until ``condition()`` holds; the log is shown when it does not come true, or the server has ended."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            ended = self.process is not None and self.process.poll() is not None
            assert not ended, f"{self.command[0]} ended, not {what}:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"{self.command[0]} is not {what}:\n{self.log[-3000:]}"
            time.sleep(POLL_S)

    def wait_for_log(self, text: str, *, times: int = 1, timeout_s: float = DEADLINE_S) -> None:
        """Until ``text`` was printed so many times."""
        self.wait_until(lambda: self.log.count(text) >= times, f"printing {text!r}", timeout_s)

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def fluent_bit(folder: Path, configuration: str, *ports: int | Path, name: str = "fluent-bit.yaml") -> Server:
    """Fluent Bit with this configuration; the end of ``name`` tells the format."""
    need("fluent-bit")
    file = folder / name
    file.write_text(configuration)
    return Server(folder, ["fluent-bit", "-c", str(file)], *ports)


def fluentd(
    folder: Path, configuration: str, *ports: int | Path, environment: Mapping[str, str] | None = None
) -> Server:
    """Fluentd with this configuration."""
    need("fluentd")
    file = folder / "fluentd.conf"
    file.write_text(configuration)
    return Server(folder, ["fluentd", "-c", str(file)], *ports, environment=environment)


def accepts(port: int | Path) -> bool:
    """Whether something listens on a TCP port of this machine, or on a Unix socket."""
    family = socket.AF_UNIX if isinstance(port, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(port) if isinstance(port, Path) else ("127.0.0.1", port)) == 0
