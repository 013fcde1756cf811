"""From a malicious event to a computer that is cut off, and back: hunt, amp-respond, and the stream, as processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rest import Request
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import configuration
from tests.e2e.conftest import StartPlugin
from tests.e2e.receiving import is_empty

SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"


def malicious(guid: str, hostname: str) -> bytes:
    """A detection of the file on a computer."""
    return json.dumps(
        {
            "id": 6533241145273614341,
            "event_type": "Threat Detected",
            "event_type_id": 1090519054,
            "detection": "W32.Evil",
            "connector_guid": guid,
            "computer": {"connector_guid": guid, "hostname": hostname},
            "file": {"disposition": "Malicious", "file_name": "a.exe", "identity": {"sha256": SHA256}},
        }
    ).encode()


def hunting(
    cloud: LocalCloud,
    organisation: Organisation,
    certificates: Certificates,
    fluentd: FakeFluentd,
    password: str,
    folder: Path,
    delay: str,
) -> dict[str, Any]:
    """A configuration with hunts: each is so long after its event."""
    section = {
        "name": "acme",
        "cloud": {"api": cloud.url, "ca_file": str(certificates.ca_file)},
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "hunts": {"delay": delay},
    }
    stream = {
        "event_stream_name": "SIEM",
        "password": password,
        "organisation": "acme",
        "tls": {"ca_file": str(certificates.ca_file)},
    }
    state = {"path": str(folder / "state.db")}
    return configuration(stream, fluentd) | {"organisations": [section], "state": state}


def of(fluentd: FakeFluentd, kind: str) -> list[dict[str, Any]]:
    """The records of one tag that arrived."""
    tag = f"edr.cisco.amp.{kind}"
    return [entry.record for chunk in fluentd.chunks if chunk.tag == tag for entry in chunk.entries]


def respond(
    cloud: LocalCloud, organisation: Organisation, certificates: Certificates, folder: Path
) -> Callable[..., str]:
    """`amp-respond` as a process, with the customer's key in its environment."""
    environ = {
        "AMP_CLIENT_ID": organisation.client_id,
        "AMP_API_KEY": organisation.api_key,
        "AMP_API_HOST": cloud.url,
        "AMP_RESPOND_JOURNAL": str(folder / "journal.ndjson"),
        "SSL_CERT_FILE": str(certificates.ca_file),
        "PYTHONPATH": ":".join(sys.path),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-c", "from fluent_plugin_amp.amp_respond.cli import main; main()", *arguments]
        result = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


async def test_from_a_malicious_event_to_a_computer_that_is_isolated_and_back(
    cloud: LocalCloud,
    broker: PrivateRabbitMQ,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    tmp_path: Path,
) -> None:
    """Killed between event and hunt; the record names the computer that said nothing, the stream tells the rest."""
    organisation = cloud.add_organisation()
    organisation.answer(Request("POST", "/v1/event_streams", "https://cloud", body=b'{"name": "SIEM"}'))
    (siem,) = organisation.streams.values()
    loud, silent = (organisation.responses.add_computer(name) for name in ("desk-014", "desk-015"))
    organisation.responses.see(SHA256, loud, silent)
    organisation.publish([malicious(loud.guid, loud.hostname)])

    def config(delay: str) -> dict[str, Any]:
        return hunting(cloud, organisation, certificates, fluentd, siem.password, tmp_path, delay)

    def has_event(kind: str) -> bool:
        return any(event["event_type"] == kind for event in of(fluentd, "events"))

    first = run(config("1h"))
    await fluentd.wait_for(lambda: has_event("Threat Detected"))
    await asyncio.to_thread(broker.wait_for_depth, siem.queue_name, is_empty)
    first.kill()
    assert not any("/activity" in path for _, path in cloud.requests)

    second = run(config("0s"))
    await fluentd.wait_for(lambda: len(of(fluentd, "hunts")) == 1)
    (hunt,) = of(fluentd, "hunts")
    assert (hunt["priority"], hunt["is_complete"]) == ("high", True)
    assert (hunt["file"]["identity"]["sha256"], hunt["event"]["detection"]) == (SHA256, "W32.Evil")
    assert [one["hostname"] for one in hunt["computers"]] == ["desk-015"]

    act = respond(cloud, organisation, certificates, tmp_path)
    guid = hunt["computers"][0]["connector_guid"]
    await asyncio.to_thread(act, "isolate", guid, "--hash", SHA256, "--reason", "case 77", "--yes")
    assert silent.status == "isolated"
    await fluentd.wait_for(lambda: has_event("Endpoint Isolation Start Success"))
    await asyncio.to_thread(act, "release", guid, "--reason", "case 77", "--yes")
    await fluentd.wait_for(lambda: has_event("Endpoint Isolation Stop Success"))
    assert silent.status == "not_isolated"
    assert await second.stopped() == 0
    assert len(of(fluentd, "hunts")) == 1


NOTHING_IS_READ = """
import asyncio
from fluent_plugin_amp.state.rows import KeptRows
async def load_of(self, source):
    await asyncio.Event().wait()
KeptRows.load_of = load_of
"""


async def test_a_hunt_outlives_a_kill_in_the_first_moments_and_a_run_that_reads_queues_only(
    cloud: LocalCloud,
    broker: PrivateRabbitMQ,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    tmp_path: Path,
) -> None:
    """Killed before it is known what was kept, the event comes again; `--once` notes its hunt, and acks it."""
    organisation = cloud.add_organisation()
    organisation.answer(Request("POST", "/v1/event_streams", "https://cloud", body=b'{"name": "SIEM"}'))
    (siem,) = organisation.streams.values()
    loud = organisation.responses.add_computer("desk-014")
    organisation.responses.see(SHA256, loud)
    organisation.publish([malicious(loud.guid, loud.hostname)])
    config = hunting(cloud, organisation, certificates, fluentd, siem.password, tmp_path, "0s")

    first = run(config, prelude=NOTHING_IS_READ)
    await fluentd.wait_for(lambda: of(fluentd, "events"))
    first.kill()
    assert await run(config, "--once").ended() == 0
    assert broker.queue_depth(siem.queue_name) == (0, 0, 0)
    assert (len(of(fluentd, "events")), of(fluentd, "hunts")) == (2, [])
    last = run(config)
    await fluentd.wait_for(lambda: of(fluentd, "hunts"))
    assert await last.stopped() == 0
    (hunt,) = of(fluentd, "hunts")
    assert hunt["file"]["identity"]["sha256"] == SHA256
