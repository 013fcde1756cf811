"""What systemd is told, on a socket of ours in its place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.observe.systemd import Notifier
from fluent_plugin_amp.testing.waiting import DEADLINE_S


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(DEADLINE_S)
        yield listener


def test_ready_and_stopping_are_one_datagram_each(manager: socket.socket) -> None:
    """Each message arrives whole, in the assignments that sd_notify(3) lists."""
    notifier = Notifier(manager.getsockname())
    notifier.ready("1 stream")
    notifier.stopping()
    assert manager.recv(4096) == b"READY=1\nSTATUS=1 stream"
    assert manager.recv(4096).startswith(b"STOPPING=1\n")


def test_an_abstract_socket() -> None:
    """A name that begins with @ is an abstract socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(b"\0fluent-plugin-amp-test-" + str(os.getpid()).encode())
        listener.settimeout(DEADLINE_S)
        Notifier("@" + listener.getsockname()[1:].decode()).stopping()
        assert listener.recv(4096).startswith(b"STOPPING=1")


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_of_the_environment(environ: dict[str, str], watchdog_s: float | None) -> None:
    """Microseconds become seconds, and another process's watchdog is none of ours."""
    assert Notifier.from_environment(environ, pid=7).watchdog_s == watchdog_s


async def test_signs_of_life_come_from_the_loop(manager: socket.socket) -> None:
    """They are sent again and again while the loop turns."""
    task = asyncio.create_task(Notifier(manager.getsockname(), 0.02).keep_alive())
    for _ in range(3):
        assert await asyncio.to_thread(manager.recv, 4096) == b"WATCHDOG=1"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_nobody_listens(tmp_path: Path) -> None:
    """Neither a missing socket nor a missing manager is an error, and without one nothing goes on for ever."""
    Notifier(str(tmp_path / "missing")).ready("")
    Notifier().ready("")
    await Notifier(None, 0.01).keep_alive()


def test_the_plugin_as_a_service(manager: socket.socket, tmp_path: Path) -> None:
    """`run` tells READY once its streams run, though no broker answers, then signs of life, then STOPPING."""
    config = tmp_path / "config.yml"
    config.write_text("streams: [{url: 'amqps://127.0.0.1:1', username: u, password: p, queue: q}]\n")
    environ = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    command = [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(config)]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    try:
        messages = [manager.recv(4096)]
        while not messages[-1].startswith(b"READY=1\nSTATUS=1 stream,"):
            messages.append(manager.recv(4096))
        while messages[-2:] != [b"WATCHDOG=1"] * 2:
            messages.append(manager.recv(4096))
        process.send_signal(signal.SIGTERM)
        while not messages[-1].startswith(b"STOPPING=1"):
            messages.append(manager.recv(4096))
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
