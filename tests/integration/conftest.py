"""The servers around the plugin, two ways: containers where a Docker engine answers, else processes of this machine.

The same tests run on either.  What neither way has makes a test "not run", listed at the end of the run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest

from fluent_plugin_amp.testing.certificates import Certificates, make_certificates, server_context
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.publisher import Message, publish
from fluent_plugin_amp.testing.rabbitmq import StreamCredentials
from fluent_plugin_amp.testing.receivers import whole_lines
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.servers import Server, accepts, find, fluent_bit, fluentd

Kind = Literal["fluent-bit", "fluentd"]
COMPOSE_FILE = Path(__file__).parent.parent / "docker-compose.yml"
QUEUE, USER, PASSWORD = "event_stream_1", "1-stream", "password"
ADMIN = ADMIN_PASSWORD = "admin"
READY_S = 120.0


@dataclass(frozen=True)
class Services:
    """The servers, running."""

    where: str
    """containers or processes."""
    stream: dict[str, Any]
    """The entry of ``streams`` that reads the queue."""
    publish: Callable[[list[bytes]], object]
    server: dict[str, Any]
    """The entry of ``forward.servers``."""
    lines: Callable[[], list[bytes]]
    """What the syslog receiver got."""


@cache
def docker_answers() -> bool:
    """Whether there is a Docker engine with compose."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "info"], ["docker", "compose", "version"])
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    """For pytest-docker."""
    return str(COMPOSE_FILE)


@pytest.fixture(scope="session")
def docker_setup(services_folder: Path) -> list[str]:
    """For pytest-docker: the folder is filled before anything starts."""
    write_configurations(services_folder)
    os.environ["AMP_SERVICES"] = str(services_folder)
    return ["up --detach"]


@pytest.fixture(scope="session")
def services_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What containers and tests share."""
    return tmp_path_factory.mktemp("services")


@pytest.fixture
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """The servers for the way that the test is parametrized with (`Kind`)."""
    kind: Kind = request.param
    if docker_answers():
        yield in_containers(kind, request)
        return
    if find(kind) is None:
        pytest.skip(f"not run: needs {kind} on PATH, or a Docker engine")
    with ExitStack() as stack:
        yield as_processes(kind, request, tmp_path, stack)


def as_processes(kind: Kind, request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> Services:
    """Processes of this machine."""
    certificates: Certificates = request.getfixturevalue("certificates")
    broker = request.getfixturevalue("broker")
    stream: StreamCredentials = request.getfixturevalue("make_stream")()
    context = server_context(certificates.server, client_ca_file=certificates.ca_file)
    receiver = stack.enter_context(SyslogReceiver(context))
    bit_port, port = free_ports(2)
    text = fluent_bit_configuration(folder, certificates, "127.0.0.1", bit_port, "localhost", receiver.port)
    stack.enter_context(fluent_bit(folder, text, bit_port))
    if kind == "fluentd":
        before: Server = fluentd(
            folder, fluentd_configuration(folder, "127.0.0.1", port, "127.0.0.1", bit_port), port
        )
        stack.enter_context(before)
    keys = {"url": stream.url, "username": stream.username, "password": stream.password, "queue": stream.queue}
    return Services(
        "processes",
        keys,
        lambda bodies: broker.publish(stream.queue, bodies),
        {"host": "127.0.0.1", "port": port if kind == "fluentd" else bit_port},
        lambda: receiver.lines,
    )


def in_containers(kind: Kind, request: pytest.FixtureRequest) -> Services:
    """Containers, by pytest-docker."""
    folder: Path = request.getfixturevalue("services_folder")
    engine = request.getfixturevalue("docker_services")
    host: str = request.getfixturevalue("docker_ip")
    broker_port = engine.port_for("rabbitmq", 5672)
    port = engine.port_for(kind, 24224)

    def put(bodies: list[bytes]) -> int:
        return publish(host, broker_port, ADMIN, ADMIN_PASSWORD, (Message("", QUEUE, body) for body in bodies))

    def is_ready() -> bool:
        try:
            return put([]) == 0 and accepts(port)
        except Exception:  # it is still starting: whatever comes, ask again
            return False

    engine.wait_until_responsive(check=is_ready, timeout=READY_S, pause=0.5)
    before = len(read_lines(folder))
    return Services(
        "containers",
        {"url": f"amqp://{host}:{broker_port}", "username": USER, "password": PASSWORD, "queue": QUEUE},
        put,
        {"host": host, "port": port},
        lambda: read_lines(folder)[before:],
    )


def read_lines(folder: Path) -> list[bytes]:
    """What the receiver's container wrote."""
    return [line.encode() for line in whole_lines(folder / "lines")]


def write_configurations(folder: Path) -> None:
    """Everything that tests/docker-compose.yml mounts."""
    make_certificates(folder / "certificates")
    inside = make_paths(Path("/amp/certificates"))
    (folder / "fluent-bit.yaml").write_text(
        fluent_bit_configuration(Path("/amp"), inside, "0.0.0.0", 24224, "syslog", 6514)
    )
    (folder / "fluentd.conf").write_text(fluentd_configuration(Path("/amp"), "0.0.0.0", 24224, "fluent-bit", 24224))
    (folder / "rabbitmq.conf").write_text(
        "loopback_users = none\n"
        "definitions.import_backend = local_filesystem\n"
        "definitions.local.path = /amp/definitions.json\n"
    )
    nothing = {"configure": "^$", "write": "^$"}
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    definitions = {
        "vhosts": [{"name": "/"}],
        "users": [
            {"name": ADMIN, "password": ADMIN_PASSWORD, "tags": "administrator"},
            {"name": USER, "password": PASSWORD, "tags": ""},
        ],
        "permissions": [
            {"user": ADMIN, "vhost": "/", **everything},
            {"user": USER, "vhost": "/", **nothing, "read": f"^{QUEUE}$"},
        ],
        "queues": [{"name": QUEUE, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],
    }
    (folder / "definitions.json").write_text(json.dumps(definitions))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)  # containers have users of their own


def make_paths(folder: Path) -> Certificates:
    """The paths that `make_certificates` writes, of another folder."""
    from dataclasses import fields

    from fluent_plugin_amp.testing.certificates import KeyPair

    paths: dict[str, Any] = {
        field.name: KeyPair(folder / f"{field.name}.pem", folder / f"{field.name}.key")
        for field in fields(Certificates)
    }
    return Certificates(**{**paths, "ca_file": folder / "ca.pem", "untrusted_ca_file": folder / "untrusted_ca.pem"})


def fluent_bit_configuration(
    folder: Path, certificates: Certificates, listen: str, port: int, to_host: str, to_port: int
) -> str:
    """Fluent Bit on to the receiver, whose certificate is for localhost wherever it runs."""
    return f"""\
service:
  flush: 0.2
  storage.path: {folder}/storage
  scheduler.base: 1
  scheduler.cap: 5
pipeline:
  inputs:
    - name: forward
      listen: {listen}
      port: {port}
      storage.type: filesystem
      processors:
        logs:
          - {{name: nest, operation: nest, wildcard: "*", nest_under: amp}}
  outputs:
    - name: tcp
      match: edr.cisco.amp.*
      host: {to_host}
      port: {to_port}
      raw_message_key: "<14>Jan  1 00:00:00 amp-forwarder $TAG: $amp"
      tls: on
      tls.verify_hostname: on
      tls.vhost: localhost
      tls.ca_file: {certificates.ca_file}
      tls.crt_file: {certificates.client.cert_file}
      tls.key_file: {certificates.client.key_file}
      retry_limit: no_limits
"""


def fluentd_configuration(folder: Path, listen: str, port: int, to_host: str, to_port: int) -> str:
    """Fluentd on to Fluent Bit."""
    return f"""\
<source>
  @type forward
  bind {listen}
  port {port}
</source>
<match edr.cisco.amp.**>
  @type forward
  require_ack_response true
  <server>
    host {to_host}
    port {to_port}
  </server>
  <buffer tag>
    @type file
    path {folder}/fluentd-buffer
    flush_mode immediate
    retry_wait 0.5s
    retry_forever true
  </buffer>
</match>
"""
