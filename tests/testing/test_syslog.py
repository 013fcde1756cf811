"""The TLS syslog receiver that stands in for Devo."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair, server_context
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.servers import accepts


def connect(receiver: SyslogReceiver, certificates: Certificates, client: KeyPair | None) -> ssl.SSLSocket:
    """A client's connection."""
    context = ssl.create_default_context(cafile=certificates.ca_file)
    if client is not None:
        context.load_cert_chain(client.cert_file, client.key_file)
    return context.wrap_socket(socket.create_connection((receiver.host, receiver.port)), server_hostname="localhost")


def receiver_for(certificates: Certificates) -> SyslogReceiver:
    """One that demands a client certificate."""
    return SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file))


def test_lines_are_kept_as_bytes(certificates: Certificates) -> None:
    """However they are cut on the way; one without its end does not count."""
    with receiver_for(certificates) as receiver, connect(receiver, certificates, certificates.client) as link:
        for part in (b"first\nsec", b"ond \xff\xfe", b"\nthi"):
            link.sendall(part)
        assert receiver.wait_for(2) == [b"first", b"second \xff\xfe"]


@pytest.mark.parametrize("which", ["none", "untrusted"])
def test_clients_need_a_trusted_certificate(which: str, certificates: Certificates) -> None:
    """Without one the connection ends, the reason is kept, and nothing is received."""
    client = certificates.untrusted_client if which == "untrusted" else None
    with receiver_for(certificates) as receiver:
        try:
            with connect(receiver, certificates, client) as link:
                link.sendall(b"line\n")
                while link.recv(100):
                    pass
        except OSError:
            pass
        with pytest.raises(TimeoutError):
            receiver.wait_for(1, timeout_s=0.2)
    assert receiver.lines == []
    assert len(receiver.refusals) == 1


def test_stopped_and_started_again(certificates: Certificates) -> None:
    """Stopping resets connections and closes the port; the same port listens again, and lines stay."""
    with receiver_for(certificates) as receiver:
        with connect(receiver, certificates, certificates.client) as link:
            link.sendall(b"before\n")
            receiver.wait_for(1)
            receiver.stop()
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):  # an alert may come first
                assert link.recv(100) == b""
            assert not accepts(receiver.port)
        receiver.start()
        with connect(receiver, certificates, certificates.client) as link:
            link.sendall(b"after\n")
            assert receiver.wait_for(2) == [b"before", b"after"]


def test_as_a_process(certificates: Certificates, free_port: int) -> None:
    """`python -m` serves on a port and prints what it gets."""
    command = [sys.executable, "-m", "fluent_plugin_amp.testing.syslog", "--port", str(free_port)]
    command += ["--certificate", str(certificates.server.cert_file), "--key", str(certificates.server.key_file)]
    command += ["--client-ca", str(certificates.ca_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            while not accepts(free_port):
                assert process.poll() is None
            receiver = SyslogReceiver(None, port=free_port)
            with connect(receiver, certificates, certificates.client) as link:
                link.sendall(b"line\n")
                assert process.stdout is not None
                assert process.stdout.readline() == b"line\n"
        finally:
            process.kill()
