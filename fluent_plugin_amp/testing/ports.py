"""Free TCP ports on loopback, and an address that keeps silent.

Free ports are for servers that must be told their port and get the same one after a restart.  They lie below the
range from which the kernel takes the local ports of outgoing connections.  In that range two things go wrong while a
server is down: somebody's connection takes its port, so that it cannot start again; and a client that keeps trying is
one day given the very port it connects to, and meets itself.

A port is given once.  Each process takes its ports from blocks that are its own while it runs, so tests that run
side by side never meet.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

_LOWEST = 10_240
_BLOCK = 64
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_claims: list[socket.socket] = []
"""Sockets with names that only one process can have; a name is gone with its process, whatever ends it."""
_left: list[int] = []
"""Ports of the last block that nobody was given yet."""


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """``count`` different TCP ports on ``host`` that nothing listens on.  Raises OSError when there are no more."""
    ports: list[int] = []
    while len(ports) < count:
        if not _left:
            _left.extend(_claim_block())
        port = _left.pop()
        if _can_bind(host, port):
            ports.append(port)
    return ports


def free_port(host: str = "127.0.0.1") -> int:
    """One TCP port on ``host`` that nothing listens on."""
    return free_ports(1, host)[0]


@contextlib.contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """An address that does not even answer a SYN: a listener whose queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


def _claim_block() -> range:
    blocks = range(_LOWEST, _first_ephemeral_port() - _BLOCK, _BLOCK)
    for first in random.SystemRandom().sample(blocks, len(blocks)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0fluent-plugin-amp ports from {first}")
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return range(first, first + _BLOCK)
    raise OSError(f"no free ports in {blocks.start}-{blocks.stop}")


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
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
