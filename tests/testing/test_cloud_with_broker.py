"""The local cloud joined to a private RabbitMQ: streams made over REST are consumed over AMQP."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
import yaml
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAuthenticationError

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.erlang import NodeError
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.waiting import DEADLINE_S

DETECTED = b'{"id": 6533241145273614341, "event_type_id": 1090519054, "group_guids": [], "timestamp": 1593079552}'
OTHER = b'{"id": 6533241145273614342, "event_type_id": 553648143, "group_guids": [], "timestamp": 1593079552}'


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """One customer."""
    return cloud.add_organisation()


class Cli:
    """`amp-streams` as a process, with the customer's key in its environment."""

    def __init__(self, cloud: LocalCloud, organisation: Organisation, ca_file: Path, folder: Path) -> None:
        self.folder = folder
        self._environ = {
            "AMP_CLIENT_ID": organisation.client_id,
            "AMP_API_KEY": organisation.api_key,
            "AMP_API_HOST": cloud.url,
            "SSL_CERT_FILE": str(ca_file),
            "PYTHONPATH": ":".join(sys.path),
        }

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run it; what it says."""
        command = [sys.executable, "-c", "from fluent_plugin_amp.amp_streams.cli import main; main()", *arguments]
        result = subprocess.run(
            command, env=self._environ, cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert result.returncode == code, result.stderr
        return result.stdout + result.stderr


@pytest.fixture
def streams(cloud: LocalCloud, organisation: Organisation, certificates: Certificates, tmp_path: Path) -> Cli:
    """``streams("create", …)``."""
    return Cli(cloud, organisation, certificates.ca_file, tmp_path)


def connect(saved: Mapping[str, str], certificates: Certificates) -> BlockingChannel:
    """A channel of the stream's user, as the saved file says it."""
    url = urlsplit(saved["url"])
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    parameters = pika.ConnectionParameters(
        url.hostname,
        url.port,
        credentials=pika.PlainCredentials(saved["username"], saved["password"]),
        ssl_options=pika.SSLOptions(context, url.hostname),
    )
    return pika.BlockingConnection(parameters).channel()


def load(path: Path) -> dict[str, str]:
    """A saved credentials file."""
    saved: dict[str, str] = yaml.safe_load(path.read_text())
    return saved


def test_a_created_stream_gets_its_events_and_nothing_else(
    cloud: LocalCloud, streams: Cli, certificates: Certificates, broker: PrivateRabbitMQ
) -> None:
    """Over TLS, with the saved credentials: the events it wants, byte for byte; it may only read its own queue."""
    streams("create", "SIEM", "--save", "siem.yml", "--event-type", "Threat Detected")
    streams("create", "Other", "--save", "other.yml")
    cloud.publish([DETECTED, OTHER])
    saved, other = load(streams.folder / "siem.yml"), load(streams.folder / "other.yml")
    channel = connect(saved, certificates)
    assert channel.queue_declare(saved["queue"], passive=True).method.message_count == 1
    assert channel.basic_get(saved["queue"], auto_ack=True)[2] == DETECTED
    assert broker.queue_depth(other["queue"]).ready == 2
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.basic_get(other["queue"])
    channel = connect(saved, certificates)
    channel.basic_publish("", saved["queue"], b"x")
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.queue_declare(saved["queue"], passive=True)


def test_a_deleted_stream_takes_queue_and_user_with_it(
    streams: Cli, certificates: Certificates, broker: PrivateRabbitMQ
) -> None:
    """Afterwards nobody can log in with its credentials."""
    streams("create", "SIEM", "--save", "siem.yml")
    saved = load(streams.folder / "siem.yml")
    channel = connect(saved, certificates)
    streams("delete", "SIEM", "--yes")
    with pytest.raises((ChannelClosedByBroker, ConnectionClosedByBroker)):
        channel.basic_get(saved["queue"])
    with pytest.raises(ProbableAuthenticationError):
        connect(saved, certificates)
    with pytest.raises(NodeError, match="no queue"):
        broker.queue_depth(saved["queue"])


def test_a_rotation_waits_for_the_old_queue(
    cloud: LocalCloud, organisation: Organisation, streams: Cli, certificates: Certificates
) -> None:
    """Events in the old queue keep it; drained, it goes, and the twin has what came since it was made."""
    streams("create", "SIEM", "--save", "old.yml")
    cloud.publish([DETECTED])
    streams("rotate", "SIEM", "--save", "new.yml")
    arguments = ("rotate", "SIEM", "--save", "new.yml", "--finish", "--yes", "--ca-file", str(certificates.ca_file))
    assert "): 1\n" in streams(*arguments, code=1)
    old, new = load(streams.folder / "old.yml"), load(streams.folder / "new.yml")
    assert connect(old, certificates).basic_get(old["queue"], auto_ack=True)[2] == DETECTED
    assert "): 0\n" in streams(*arguments)
    cloud.publish([OTHER])
    assert connect(new, certificates).basic_get(new["queue"], auto_ack=True)[2] == OTHER
    assert [stream.name for stream in organisation.streams.values()] == ["SIEM"]


def test_a_fleet_is_verified_and_rotated(
    cloud: LocalCloud, organisation: Organisation, streams: Cli, certificates: Certificates, broker: PrivateRabbitMQ
) -> None:
    """Saved passwords are tried with the broker; the twin takes the place when the old queue is empty, and works."""
    tenant = {"name": "Acme", "client_id": organisation.client_id, "api_key": organisation.api_key}
    fleet = {
        "defaults": {"api_host": cloud.url, "ca_file": str(certificates.ca_file), "streams": [{"name": "SIEM"}]},
        "tenants": [tenant],
    }
    (streams.folder / "fleet.yml").write_text(yaml.safe_dump(fleet))
    saved = streams.folder / "credentials" / "acme-siem.yml"
    streams("apply", "fleet.yml")
    assert "1 keep" in streams("apply", "fleet.yml", "--verify")
    good = saved.read_text()
    saved.write_text(good.replace(load(saved)["password"], "0" * 40))
    assert "1 keep" in streams("apply", "fleet.yml")
    assert "[amqp.credentials-refused]" in streams("apply", "fleet.yml", "--verify", code=77)
    saved.write_text(good)

    cloud.publish([DETECTED])
    assert "1 keep" not in streams("apply", "fleet.yml", "--rotate", "acme")
    assert ": 1; deliver them first" in streams("apply", "fleet.yml", "--rotate", "all", "--finish", "--yes", code=1)
    old = load(saved)
    assert connect(old, certificates).basic_get(old["queue"], auto_ack=True)[2] == DETECTED
    assert "has taken the place of" in streams("apply", "fleet.yml", "--rotate", "Acme", "--finish", "--yes")
    assert "1 keep" in streams("apply", "fleet.yml", "--verify", "--prune", "--yes")
    new = load(saved)
    assert new["password"] != old["password"]
    cloud.publish([OTHER])
    assert connect(new, certificates).basic_get(new["queue"], auto_ack=True)[2] == OTHER
    with pytest.raises(ProbableAuthenticationError):
        connect(old, certificates)
    assert [stream.name for stream in organisation.streams.values()] == ["SIEM"]


def test_a_saved_file_runs_with_four_more_lines(
    cloud: LocalCloud, streams: Cli, certificates: Certificates, broker: PrivateRabbitMQ
) -> None:
    """`fluent-plugin-amp run` takes it as it is."""
    streams("create", "SIEM", "--save", "siem.yml")
    saved = load(streams.folder / "siem.yml")
    config = streams.folder / "config.yml"
    config.write_text(
        "streams:\n"
        "  - credentials_file: siem.yml\n"
        f"    tls: {{ca_file: {certificates.ca_file}}}\n"
        "forward: {servers: [{host: 127.0.0.1, port: 24224}]}\n"
    )
    cloud.publish([DETECTED, OTHER])
    result = subprocess.run(
        [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(config), "--once", "--stdout", "json"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert result.returncode == 0, result.stderr
    assert [line.count("65332411452736143") for line in result.stdout.splitlines()] == [1, 1]
    assert saved["password"] not in result.stderr
    assert broker.queue_depth(saved["queue"]).ready == 0
