"""Free ports that stay usable while a server is down."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.testing import ports as module
from fluent_plugin_amp.testing.ports import free_port, free_ports


def test_ports_of_ipv6() -> None:
    """They can be bound there."""
    with socket.create_server(("::1", free_port("::1")), family=socket.AF_INET6):
        pass


def test_ports_are_distinct_and_free() -> None:
    """Each port can be bound, and no two are the same."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    """A connection that the kernel gives a local port never takes one of ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert free_port() < server.getsockname()[1]


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out."""
    free = free_port()
    with socket.create_server(("127.0.0.1", free_port())) as server:
        monkeypatch.setattr(module, "_left", [free, server.getsockname()[1]])
        assert free_port() == free


def test_a_port_is_given_once() -> None:
    """A test may leave its port for a while: no later one gets it."""
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == 200


def test_processes_that_run_side_by_side_never_meet() -> None:
    """Ports of a block belong to one process; when it ends another one may have them."""
    script = "from fluent_plugin_amp.testing.ports import free_ports; print(*free_ports(500), flush=True); input()"
    root = Path(__file__).parents[2]
    others = [
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    given = [set(free_ports(500))]
    for other in others:
        assert other.stdout is not None
        given.append(set(map(int, other.stdout.readline().split())))
    for other in others:
        other.communicate("\n")
        assert other.returncode == 0
    assert len(set.union(*given)) == 500 * len(given)


def test_there_may_be_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is an error, not an endless search."""
    monkeypatch.setattr(module, "_left", [])
    monkeypatch.setattr(module, "_first_ephemeral_port", lambda: module._LOWEST)
    with pytest.raises(OSError, match="no free ports"):
        free_port()
