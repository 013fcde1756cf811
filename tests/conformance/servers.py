"""Fluentd and Fluent Bit of `fluent_plugin_amp.testing.receivers`, with a row's own settings in their files.

An edit replaces a text of the receiver's configuration, or is added to it where the old text is a section's head.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fluent_plugin_amp.testing.receivers import FluentBitReceiver, FluentdReceiver

Kind = Literal["fluentd", "fluent-bit"]
RESTART_S = 60.0
TAKEN_OVER = "zero-downtime-restart: done all sequences"
"""What a new supervisor says once the old one is gone."""
_SUPERVISOR = re.compile(r"starting fluentd-\S+ pid=(\d+)")
KINDS: tuple[Kind, ...] = ("fluentd", "fluent-bit")


@dataclass(frozen=True)
class Edits:
    """What a row changes: settings of the forward input, of the buffer (Fluentd), and the output."""

    input: str = ""
    buffer: str = ""
    output_port: int | None = None
    """Deliver to this Forward server instead of files."""
    match: str = "**"
    memory_only: bool = False
    """Fluent Bit keeps events in memory, not in its filesystem storage."""
    service: str = ""
    """Of Fluent Bit's `service`."""


class Fluentd(FluentdReceiver):
    """Fluentd with edits."""

    def __init__(self, folder: Path, edits: Edits, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self.edits = edits

    def _command(self) -> list[str]:
        command = super()._command()
        file = Path(command[2])
        text, edits = file.read_text(), self.edits
        text = _replace(text, f"  port {self.port}\n", f"  port {self.port}\n{_indent(edits.input, 2)}")
        text = _replace(text, "<match **>\n  @type file", f"<match {edits.match}>\n  @type file")
        if edits.output_port is not None:
            head, _, rest = text.partition(f"<match {edits.match}>\n  @type file\n")
            buffer = rest[rest.index("  <buffer []>") :].replace("<buffer []>", "<buffer tag>")
            text = f"""{head}<match {edits.match}>
  @type forward
  require_ack_response true
  ack_response_timeout 10s
  heartbeat_type none
  <server>
    host 127.0.0.1
    port {edits.output_port}
  </server>
{buffer}"""
        text = _replace(text, "    @type file\n", "    @type file\n" + _indent(edits.buffer, 4))
        text = _replace(text, "flush_mode interval\n    flush_interval 0.5", "flush_mode immediate")
        file.write_text(text)
        return command


class FluentBit(FluentBitReceiver):
    """Fluent Bit with edits."""

    def __init__(self, folder: Path, edits: Edits, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self.edits = edits

    def _command(self) -> list[str]:
        command = super()._command()
        file = Path(command[2])
        text, edits = file.read_text(), self.edits
        text = _replace(text, f"      port: {self.port}\n", f"      port: {self.port}\n{_indent(edits.input, 6)}")
        text = _replace(text, 'match: "*"', f'match: "{edits.match.replace("**", "*")}"')
        text = _replace(text, "service:\n", "service:\n" + _indent(edits.service, 2))
        if edits.memory_only:
            text = _replace(text, "      storage.type: filesystem\n", "      storage.type: memory\n")
        if edits.output_port is not None:
            head, _, _ = text.partition("    - name: file\n")
            text = f"""{head}    - name: forward
      match: "*"
      host: 127.0.0.1
      port: {edits.output_port}
      require_ack_response: true
      retry_limit: no_limits
"""
        file.write_text(text)
        return command


def make_server(kind: Kind, folder: Path, edits: Edits, port: int | None = None) -> Fluentd | FluentBit:
    """A server that is not started yet."""
    return Fluentd(folder, edits, port) if kind == "fluentd" else FluentBit(folder, edits, port)


def signal_server(server: Fluentd | FluentBit, number: signal.Signals) -> None:
    """Send a signal to the server's main process."""
    assert server._process is not None
    os.kill(server._process.pid, number)


def restart_supervisor(server: Fluentd) -> Callable[[], None]:
    """Send SIGUSR2 to Fluentd's supervisor; a wait until a new one (from 1.18 on) has taken over.

    It is a process of its own, to which the next signal must go.
    """
    log = server.folder / "log"
    done = log.read_text(errors="replace").count(TAKEN_OVER)
    supervisors = _SUPERVISOR.findall(log.read_text(errors="replace"))
    os.kill(int(supervisors[-1]), signal.SIGUSR2)

    def wait() -> None:
        deadline = time.monotonic() + RESTART_S
        while log.read_text(errors="replace").count(TAKEN_OVER) == done:
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)

    return wait


def _replace(text: str, old: str, new: str) -> str:
    assert old in text, f"the receiver's configuration no longer holds {old!r}"
    return text.replace(old, new, 1)


def _indent(lines: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in lines.splitlines())
