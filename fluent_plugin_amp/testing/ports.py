"""Free TCP ports on loopback, for servers that must be told their port and get the same one after a restart.

The ports lie below the range from which the kernel takes the local ports of outgoing connections.  In that
range two things go wrong while a server is down: somebody's connection takes its port, so that it cannot start
again; and a client that keeps trying is one day given the very port it connects to, and meets itself.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 10_240
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """``count`` different TCP ports on ``host`` that nothing listens on; not reserved, so use them soon."""
    candidates = range(_LOWEST, _first_ephemeral_port())
    ports: list[int] = []
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if _can_bind(host, port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"no {count} free ports on {host} in {candidates.start}-{candidates.stop}")


def free_port(host: str = "127.0.0.1") -> int:
    """One TCP port on ``host`` that nothing listens on."""
    return free_ports(1, host)[0]


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _first_ephemeral_port() -> int:
    try:
        return max(_LOWEST + 1000, int(_EPHEMERAL_RANGE.read_text().split()[0]))
    except OSError:
        return 32_768
