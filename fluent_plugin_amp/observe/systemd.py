"""Messages to the service manager: systemd's ``Type=notify`` and its watchdog, as sd_notify(3) and
sd_watchdog_enabled(3) describe them.  Without ``NOTIFY_SOCKET`` in the environment nothing is sent.

Invariants: a message is one datagram, sent without waiting; a manager that does not listen never stops the plugin.
The watchdog's sign of life comes from the event loop, so systemd notices a loop that hangs, and restarts the process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from fluent_plugin_amp.text import one_line


class Notifier:
    """Tells systemd about this process.

    Args:
        path: the path of the manager's socket, ``@…`` for an abstract one; None: nobody is told.
        watchdog_s: how long the manager waits for a sign of life; None: it has no watchdog.
    """

    def __init__(self, path: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = "\0" + path[1:] if path and path.startswith("@") else path
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """As ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` ask, unless ``WATCHDOG_PID`` means another process."""
        interval_us = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(interval_us) / 1e6 if interval_us.isdecimal() and meant else 0.0
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_s or None)

    def ready(self, status: str) -> None:
        """Tell that the streams run; ``systemctl status`` shows ``status``."""
        self._send(f"READY=1\nSTATUS={one_line(status)}")

    def stopping(self) -> None:
        """Tell that the process was asked to stop, and delivers what it holds."""
        self._send("STOPPING=1\nSTATUS=delivering what is in flight")

    async def keep_alive(self) -> None:
        """Send the watchdog's signs of life, twice as often as it asks for them, until cancelled."""
        while self._address is not None and self.watchdog_s is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(), self._address)
            except OSError:
                return  # nobody listens now: the events matter more
