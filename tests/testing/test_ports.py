"""Free ports that stay usable while a server is down."""

from __future__ import annotations

import socket

from fluent_plugin_amp.testing.ports import free_port, free_ports


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


def test_a_port_in_use_is_not_given() -> None:
    """Of a range in which all ports but one are taken, only that one is given."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        taken = server.getsockname()[1]
        assert taken not in free_ports(5000)
