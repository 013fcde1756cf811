"""The plugin against an independent Forward server: FluentServer of the npm package @fluent-org/logger.

It was written from the specification by other people, so it finds what our own `FakeFluentd` and our client would
agree on and be wrong.  `make npm` installs it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates
from tests.conf.ways import ENVIRONMENT, plugin_command, write_config

HERE = Path(__file__).parent
SECONDS, NANOSECONDS = 1_700_000_000, 123_456_789
EVENTS: list[dict[str, Any]] = [
    {"id": number, "timestamp": SECONDS + number, "timestamp_nanoseconds": NANOSECONDS, "text": "ü\n" * 40}
    for number in range(1000)
]
KEY = {"serverHostname": "peer.example", "sharedKey": "secret key", "authorize": False, "userDict": {}}
USERS = {**KEY, "authorize": True, "userDict": {"amp": "pass word"}}
OUR_KEY = {"self_hostname": "plugin.example", "shared_key": "secret key"}
OUR_USER = {**OUR_KEY, "username": "amp", "password": "pass word"}

StartPeer = Callable[..., "Peer"]


class Peer:
    """One server as a process."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            ["node", str(HERE / "server.js"), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port: int = self.read()["listening"]

    def read(self) -> dict[str, Any]:
        """The next line that it printed."""
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_peer() -> Iterator[StartPeer]:
    """Starts a server with these options."""
    if shutil.which("node") is None:
        pytest.skip("not run: needs node on PATH (Debian: nodejs, npm)")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("not run: needs the npm package @fluent-org/logger: make npm")
    peers: list[Peer] = []

    def start(**options: Any) -> Peer:
        peers.append(Peer(options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


def run(command: str, folder: Path, forward: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the plugin that talks to the peer."""
    config = write_config(folder, 1, forward=forward)
    lines = "".join(json.dumps(event) + "\n" for event in EVENTS)
    return subprocess.run(
        plugin_command(command, config, *arguments),
        input=lines,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        timeout=60,
    )


def address(peer: Peer) -> dict[str, Any]:
    """The servers of a configuration."""
    return {"servers": [{"host": "localhost", "port": peer.port}]}


def tls_of(certificates: Certificates, *, demand: bool = False) -> dict[str, Any]:
    """The peer's TLS options."""
    options = {"cert": str(certificates.server.cert_file), "key": str(certificates.server.key_file)}
    return {**options, "ca": str(certificates.ca_file)} if demand else options


@pytest.mark.parametrize("way", ["plain", "gzip", "TLS", "client certificate", "key", "user", "everything", "socket"])
def test_every_event_is_understood_and_acked(
    way: str, start_peer: StartPeer, tmp_path: Path, certificates: Certificates
) -> None:
    """A thousand events in several chunks: tag, nanoseconds and record arrive as sent, and every chunk is acked."""
    tls: dict[str, Any] = {"ca_file": str(certificates.ca_file)}
    client = {"cert_file": str(certificates.client.cert_file), "key_file": str(certificates.client.key_file)}
    if way == "socket":
        peer = start_peer(listen={"path": str(tmp_path / "peer.sock")})
        forward: dict[str, Any] = {"servers": [{"unix_path": str(tmp_path / "peer.sock")}]}
    elif way == "gzip":
        peer = start_peer()
        forward = {**address(peer), "compress": "gzip"}
    elif way == "TLS":
        peer = start_peer(tls=tls_of(certificates))
        forward = {**address(peer), "tls": tls}
    elif way == "client certificate":
        peer = start_peer(tls=tls_of(certificates, demand=True))
        forward = {**address(peer), "tls": {**tls, **client}}
    elif way == "key":
        peer = start_peer(security=KEY)
        forward = {**address(peer), "security": OUR_KEY}
    elif way == "user":
        peer = start_peer(security=USERS)
        forward = {**address(peer), "security": OUR_USER}
    elif way == "everything":
        peer = start_peer(security=USERS, tls=tls_of(certificates, demand=True))
        forward = {**address(peer), "security": OUR_USER, "tls": {**tls, **client}, "compress": "gzip"}
    else:
        peer = start_peer()
        forward = address(peer)
    result = run("replay", tmp_path, {**forward, "chunk_limit_size": "32KiB"}, "-")
    assert result.returncode == 0, result.stderr
    assert "1000 delivered, 0 dead letters" in result.stderr
    for event in EVENTS:
        assert peer.read() == {
            "tag": "edr.cisco.amp.events",
            "seconds": event["timestamp"],
            "nanoseconds": NANOSECONDS,
            "record": event,
        }


@pytest.mark.parametrize(
    "ours", [{**OUR_USER, "shared_key": "another"}, {**OUR_USER, "password": "another"}, {**OUR_KEY}, None]
)
def test_a_refused_handshake_is_named(start_peer: StartPeer, tmp_path: Path, ours: dict[str, str] | None) -> None:
    """A wrong key, a wrong or missing password, and no security at all: `check` says what is wrong."""
    peer = start_peer(security=USERS)
    result = run("check", tmp_path, {**address(peer), "security": ours}, "--end-to-end", "--json")
    row = next(row for row in json.loads(result.stdout) if row["kind"] == "server")
    assert row["error_id"] == "forward.handshake-refused"
    assert "another" not in result.stdout
