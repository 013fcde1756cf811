"""conf/devo-send.py, the sender script of Fluentd's `exec` output."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair, server_context
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.servers import CONF

CHUNK = (
    b'edr.cisco.amp.events\t{"id":1152921504606846977,"n":"a\\nb"}\nedr.cisco.amp.dead_letters\t{"t":"\xc3\xbc"}\n'
)


@pytest.fixture
def chunk(tmp_path: Path) -> Path:
    """A buffer chunk as Fluentd writes it."""
    path = tmp_path / "chunk"
    path.write_bytes(CHUNK)
    return path


def send(
    chunk: Path, port: int, certificates: Certificates, client: KeyPair | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script as Fluentd does."""
    client = client or certificates.client
    command = [sys.executable, str(CONF / "devo-send.py"), "--to", f"localhost:{port}", "--hostname", "h"]
    command += ["--ca", str(certificates.ca_file), "--cert", str(client.cert_file), "--key", str(client.key_file)]
    return subprocess.run([*command, str(chunk)], capture_output=True, text=True, check=False, timeout=60)


def test_a_chunk_arrives(chunk: Path, certificates: Certificates) -> None:
    """Each line becomes one syslog line with its own tag, the event's bytes untouched."""
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        result = send(chunk, receiver.port, certificates)
        assert (result.returncode, result.stderr) == (0, "")
        assert receiver.wait_for(2) == [
            b'<14>Jan  1 00:00:00 h edr.cisco.amp.events: {"id":1152921504606846977,"n":"a\\nb"}',
            b'<14>Jan  1 00:00:00 h edr.cisco.amp.dead_letters: {"t":"\xc3\xbc"}',
        ]


@pytest.mark.parametrize("fault", ["untrusted client", "untrusted server", "other host", "expired server"])
def test_bad_certificates(fault: str, chunk: Path, certificates: Certificates) -> None:
    """A certificate that cannot be trusted, on either side, is a failure: Fluentd keeps the chunk."""
    server = {
        "untrusted server": certificates.untrusted_server,
        "other host": certificates.other_host,
        "expired server": certificates.expired,
    }.get(fault, certificates.server)
    client = certificates.untrusted_client if fault == "untrusted client" else None
    with SyslogReceiver(server_context(server, client_ca_file=certificates.ca_file)) as receiver:
        result = send(chunk, receiver.port, certificates, client)
        assert result.returncode == 1
        assert "devo-send: localhost:" in result.stderr
        assert receiver.lines == []


def test_nobody_listens(chunk: Path, certificates: Certificates, free_port: int) -> None:
    """A receiver that is down is a failure, said in one line."""
    result = send(chunk, free_port, certificates)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "refused" in result.stderr


def test_a_receiver_that_resets(chunk: Path, certificates: Certificates) -> None:
    """A connection that is reset while the receiver should read is a failure, though everything was written."""
    context = server_context(certificates.server, client_ca_file=certificates.ca_file)

    def reset(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            link.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset, args=(listener,))
        thread.start()
        result = send(chunk, listener.getsockname()[1], certificates)
        thread.join()
    assert result.returncode == 1


def test_not_a_chunk(chunk: Path, certificates: Certificates) -> None:
    """A line without a tag is refused: the <format> of the configuration is not the one that is needed."""
    chunk.write_bytes(b'{"id":1}\n')
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        result = send(chunk, receiver.port, certificates)
    assert result.returncode == 1
    assert "not a tag, a tab and an event" in result.stderr
