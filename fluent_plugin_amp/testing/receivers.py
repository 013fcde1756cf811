"""Forward servers as processes of their own: real Fluentd, real Fluent Bit, or the built-in one.

All three do the same: listen on a loopback port, acknowledge chunks, and write what they took into files of their
own folder, buffered on disk where the server can.  `received` reads those files, so what it tells has survived
whatever the process went through.  Port and data outlive `kill` and `start`.

Fluentd and Fluent Bit are used when ``fluentd`` and ``fluent-bit`` are on PATH: `available_kinds`.
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
import sys
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fluent_plugin_amp.testing.ports import free_port

Kind = Literal["fluentd", "fluent-bit", "built-in"]
KINDS: tuple[Kind, ...] = ("fluentd", "fluent-bit", "built-in")

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class ReceiverError(Exception):
    """The server did not start; the text ends with what it printed."""


class Received(NamedTuple):
    """One event as the server wrote it."""

    tag: str
    record: dict[str, Any]


class Receiver(ABC):
    """One Forward server.  ``start`` returns when its port accepts connections."""

    kind: Kind
    buffer: str
    """How it keeps acknowledged events until they are written: for people."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def version(cls) -> str | None:
        """Of the program on PATH; None when it is not there."""

    @abstractmethod
    def received(self) -> Iterator[Received]:
        """Everything written so far, in the order of the files."""

    @abstractmethod
    def _command(self) -> list[str]:
        """What to execute; writes the configuration it needs."""

    def start(self) -> None:
        """Start, and wait for the port.

        Raises:
            ReceiverError
        """
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._kill_at_exit = weakref.finalize(self, _kill_group, self._process)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise ReceiverError(f"{self.kind} did not start\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, which writes out what is buffered; SIGKILL if that takes too long."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its children."""
        if self._process is not None:
            self._kill_at_exit()

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1.0).close()
        except OSError:
            return False
        return True


class FluentdReceiver(Receiver):
    """Fluentd, with a file buffer and a file output."""

    kind = "fluentd"
    buffer = "file buffer"

    @classmethod
    def version(cls) -> str | None:
        """Of the program on PATH; None when it is not there."""
        return _version("fluentd")

    def _command(self) -> list[str]:
        # Times of less than a second have no unit: Fluentd reads 0.5s as five seconds.
        configuration = self.folder / "fluentd.conf"
        configuration.write_text(f"""\
<source>
  @type forward
  bind {self.host}
  port {self.port}
</source>
<label @FLUENT_LOG>
  <match **>
    @type null
  </match>
</label>
<match **>
  @type file
  path {self.folder}/events
  append true
  <format>
    @type json
  </format>
  <inject>
    tag_key __tag
  </inject>
  <buffer []>
    @type file
    path {self.folder}/buffer
    flush_mode interval
    flush_interval 0.5
    flush_thread_interval 0.2
    flush_at_shutdown true
  </buffer>
</match>
""")
        return ["fluentd", "-c", str(configuration)]

    def received(self) -> Iterator[Received]:
        """Everything written so far."""
        for path in sorted(self.folder.glob("events*.log")):
            for line in whole_lines(path):
                record = json.loads(line)
                yield Received(record.pop("__tag"), record)


class FluentBitReceiver(Receiver):
    """Fluent Bit, with filesystem storage and a file output."""

    kind = "fluent-bit"
    buffer = "filesystem storage"

    @classmethod
    def version(cls) -> str | None:
        """Of the program on PATH; None when it is not there."""
        return _version("fluent-bit")

    def _command(self) -> list[str]:
        output = self.folder / "events"
        output.mkdir(exist_ok=True)
        configuration = self.folder / "fluent-bit.yaml"
        configuration.write_text(f"""\
service:
  flush: 0.5
  grace: 5
  storage.path: {self.folder}/storage
  storage.sync: normal
  storage.backlog.mem_limit: 64M
pipeline:
  inputs:
    - name: forward
      listen: {self.host}
      port: {self.port}
      storage.type: filesystem
  outputs:
    - name: file
      match: "*"
      path: {output}
""")
        return ["fluent-bit", "-c", str(configuration)]

    def received(self) -> Iterator[Received]:
        """Everything written so far."""
        for path in sorted((self.folder / "events").iterdir()):
            for line in whole_lines(path):
                # TAG: [SECONDS.NANOSECONDS, {…}]
                tag, _, rest = line.partition(": [")
                yield Received(tag, json.loads(rest.partition(", ")[2][:-1]))


class BuiltInReceiver(Receiver):
    """The built-in one, `fluent_plugin_amp.testing.fluentd`, in its own process."""

    kind = "built-in"
    buffer = "written before each ack"

    @classmethod
    def version(cls) -> str | None:
        """Of the program on PATH; None when it is not there."""
        from fluent_plugin_amp import __version__

        return __version__

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "fluent_plugin_amp.testing.fluentd"),
            *("--host", self.host, "--port", str(self.port), "--record", str(self.folder / "events.ndjson")),
        ]

    def received(self) -> Iterator[Received]:
        """Everything written so far."""
        for line in whole_lines(self.folder / "events.ndjson"):
            written = json.loads(line)
            yield Received(written["tag"], written["record"])


_RECEIVERS: dict[Kind, type[Receiver]] = {
    "fluentd": FluentdReceiver,
    "fluent-bit": FluentBitReceiver,
    "built-in": BuiltInReceiver,
}


def available_kinds() -> dict[Kind, str]:
    """What can be started here, with versions, the real ones first."""
    versions = {kind: _RECEIVERS[kind].version() for kind in KINDS}
    return {kind: version for kind, version in versions.items() if version is not None}


def make_receiver(kind: Kind, folder: Path, *, port: int | None = None) -> Receiver:
    """A receiver that is not started yet."""
    return _RECEIVERS[kind](folder, port=port)


def whole_lines(path: Path) -> list[str]:
    """The lines that have ended, of a file that is still written to and may not exist yet.

    Only a line feed ends one: `splitlines` and text mode know others, which JSON may hold.
    """
    return path.read_bytes().decode("utf-8", "replace").split("\n")[:-1] if path.exists() else []


def _version(program: str) -> str | None:
    if shutil.which(program) is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+\.\d+\.\d+", answer.stdout)
    return found.group() if found else "unknown"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
