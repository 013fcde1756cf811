"""A syslog receiver over TLS that demands a client certificate: stands in for Devo's collector in tests and examples.

Keeps each line as the bytes that came, and nothing else: syslog has no acknowledgement.  A line counts once it is
whole.  ``stop`` resets connections as a crash does; ``start`` listens on the same port again.

As a process of its own, for examples::

    python -m fluent_plugin_amp.testing.syslog --certificate server.pem --key server.key --client-ca ca.pem
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fluent_plugin_amp.testing.certificates import KeyPair, server_context
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S

if TYPE_CHECKING:
    from typing_extensions import Self

_RESET = struct.pack("ii", 1, 0)


class SyslogReceiver:
    """The receiver; connections are served in threads.

    Args:
        context: for the server's side of TLS, demanding a client certificate or not; None: plain TCP.
        port: to listen on, a free one if not given.
        on_line: called with each line, without its newline, from the connection's thread.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        on_line: Callable[[bytes], object] | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.connections = 0
        """How many passed the TLS handshake."""
        self.refusals: list[str] = []
        """Why handshakes failed."""
        self._context = context
        self._on_line = on_line
        self._lines: list[bytes] = []
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def lines(self) -> list[bytes]:
        """Every line so far, without its newline, in the order of arrival."""
        with self._changed:
            return list(self._lines)

    def wait_for(self, count: int, timeout_s: float = DEADLINE_S) -> list[bytes]:
        """The lines, once there are ``count``; TimeoutError, with what came, otherwise."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._lines) >= count, timeout_s):
                raise TimeoutError(f"{len(self._lines)} of {count} lines; refused handshakes: {self.refusals[-3:]}")
            return list(self._lines)

    def start(self) -> Self:
        """Listen."""
        self._listener = socket.create_server((self.host, self.port))
        self._spawn(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Close the port and reset every connection; lines stay."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._changed:
            for connection in self._open:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                with contextlib.suppress(OSError):  # the peer may be gone already
                    connection.shutdown(socket.SHUT_RD)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # stopped
            self._spawn(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        with plain:
            with self._changed:
                self._open.add(plain)
            try:
                if self._context is None:
                    self._read(plain)
                else:
                    self._read_tls(plain, self._context)
            finally:
                with self._changed:
                    self._open.discard(plain)

    def _read_tls(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        # The plain socket stays ours, for `stop` to reset it from outside; TLS runs on a duplicate.
        try:
            connection = context.wrap_socket(plain.dup(), server_side=True)
        except OSError as exc:
            self.refusals.append(str(exc))
            return
        with connection:
            self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        with self._changed:
            self.connections += 1
        rest = b""
        while True:
            try:
                data = connection.recv(65_536)
            except OSError as exc:
                self.refusals.append(str(exc))  # TLS 1.3 tells of a refused client certificate here
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            with self._changed:
                self._lines += lines
                self._changed.notify_all()
            if self._on_line is not None:
                for line in lines:
                    self._on_line(line)


def main(arguments: list[str] | None = None) -> None:
    """Serve until the process ends; each line goes to standard output as it came."""
    parser = argparse.ArgumentParser(prog="python -m fluent_plugin_amp.testing.syslog", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6514)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument(
        "--client-ca", type=Path, required=True, help="Demand a client certificate of this authority."
    )
    given = parser.parse_args(arguments)
    context = server_context(KeyPair(given.certificate, given.key), client_ca_file=given.client_ca)

    def show(line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    with SyslogReceiver(context, host=given.host, port=given.port, on_line=show):
        threading.Event().wait()


if __name__ == "__main__":
    main()
