#!/usr/bin/env python3
"""Sends one buffer chunk of Fluentd to Devo, or any syslog receiver, over TLS with a client certificate.

Fluentd's `exec` output runs it for each chunk, the chunk's file as its last argument; see fluentd.conf.  Each line
of the file is a tag, a tab, and the event as JSON.  The exit code is 0 only when the receiver has read all of it and
closed the connection in order; otherwise Fluentd keeps the chunk and tries again, so a failure after a part was sent
repeats that part.  Needs Python 3.9 or later and nothing else.
"""

import argparse
import contextlib
import socket
import ssl
import sys
from collections.abc import Callable
from typing import BinaryIO

TIMEOUT_S = 30


def main() -> None:
    """Send the chunk; exit with 1 and one line about it when that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--ca", required=True, help="CA certificates of the receiver, PEM")
    parser.add_argument("--cert", required=True, help="client certificate with its chain, PEM")
    parser.add_argument("--key", required=True, help="its key, PEM")
    parser.add_argument("--hostname", default=socket.gethostname(), help="host name in the syslog header")
    parser.add_argument("chunk")
    given = parser.parse_args()
    host, _, port = given.to.rpartition(":")
    try:
        context = ssl.create_default_context(cafile=given.ca)
        context.load_cert_chain(given.cert, given.key)
        with open(given.chunk, "rb") as chunk, socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
            link = Link(connection, context, host)
            send(link, chunk, given.hostname)
            link.finish()
    except (OSError, ValueError) as error:
        sys.exit(f"devo-send: {given.to}: {error}")


def send(link: "Link", chunk: BinaryIO, hostname: str) -> None:
    """Send every line of the chunk."""
    head = f"<14>Jan  1 00:00:00 {hostname} ".encode()
    for line in chunk:
        tag, tab, event = line.rstrip(b"\n").partition(b"\t")
        if not tab:
            raise ValueError(f"not a tag, a tab and an event: {line[:80]!r}")
        link.write(head + tag + b": " + event + b"\n")


class Link:
    """TLS over a connected socket.  `ssl.SSLSocket` would do, but its end hides what the receiver objected to."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands."""
        self.connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.until_done(self.tls.do_handshake)

    def write(self, data: bytes) -> None:
        """Send data."""
        self.tls.write(data)
        self.connection.sendall(self.outgoing.read())

    def finish(self) -> None:
        """Announce the end of our data and wait for the receiver's own end, which comes after it has read them.

        An alert, such as one about our certificate, or a reset is an error.
        """
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        with contextlib.suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.until_done(lambda: self.tls.read(1))

    def until_done(self, step: Callable[[], object]) -> None:
        """Take a step of the protocol, with as much sending and receiving as it asks for."""
        while True:
            try:
                step()
                return
            except ssl.SSLWantReadError:
                self.connection.sendall(self.outgoing.read())
                data = self.connection.recv(65_536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                self.connection.sendall(self.outgoing.read())


main()
