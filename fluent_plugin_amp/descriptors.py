"""File descriptors: as many as the system allows, and some of them kept for what must go on.

Each stream takes one for its connection.  With more streams than descriptors those that come too late are refused
theirs, and are retried slowly, while the endpoints, the servers and the state file have what they need: a listening
socket that cannot accept would spin.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket

RESERVE = 128
"""For 104 connections to the endpoints, the servers, the state file, look-ups over REST, names and logs."""

ENOUGH = 1 << 20

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


def raise_limit() -> None:
    """Raise the soft limit of this process as far as its hard limit allows, and as can be of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a system that allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """The soft limit."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def room_for_streams() -> int:
    """How many streams may be connected at once."""
    return max(limit() - RESERVE, limit() // 2)


def claim(sock: socket.socket) -> None:
    """Make sure that a socket, for a stream or a probe, is none of the reserve.

    Raises OSError (EMFILE), as the system does when there is no descriptor at all.  The kernel gives the lowest
    number that is free, so the number tells how many are in use.
    """
    if sock.fileno() >= room_for_streams():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def is_exhausted(error: BaseException | None) -> bool:
    """Whether there was no descriptor to be had."""
    return isinstance(error, OSError) and error.errno in EXHAUSTED
