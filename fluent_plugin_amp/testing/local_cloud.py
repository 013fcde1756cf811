"""A Cisco cloud to try the commands against, until Ctrl-C::

    python -m fluent_plugin_amp.testing.local_cloud

`cloud.LocalCloud` joined to a private RabbitMQ, with one organisation: the case of docs/respond.md (two computers
that have seen a file, and lists to block it on), groups, a vulnerable program, and an audit log.  Every ten seconds
something happens.  It prints what to export.  The API key, the authority of the broker, a configuration and the
journal of `amp-respond` are in a folder, which is gone afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import shlex
import signal
import tempfile
import time
from pathlib import Path

import yaml

from fluent_plugin_amp.errors import EXIT_OK, EXIT_UNAVAILABLE
from fluent_plugin_amp.testing.certificates import make_certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.events import THREAT_DETECTED, EventGenerator
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rabbitmq_node import RabbitMQMissing

SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"
"""Of the file of the case."""


def furnish(organisation: Organisation, now: int) -> None:
    """Let it own what the pages show.  ``now``: seconds since the epoch."""
    responses, inventory, log = organisation.responses, organisation.inventory, organisation.audit_log
    loud, silent = (responses.add_computer(name) for name in ("desk-014", "desk-015"))
    responses.see(SHA256, loud)
    responses.see(SHA256, silent, executed=True)
    responses.add_list("SOC list", "simple_custom_detections", "Protect")
    responses.add_list("Execution list", "application_blocking")
    # `responses` has computers, so those of `inventory` are not listed; they are there for the vulnerable program.
    inventory.add_computers(2, guids=[loud.guid, silent.guid])
    for computer in (loud, silent):
        inventory.computers[computer.guid].hostname = computer.hostname
    inventory.add_vulnerability(1, [loud.guid])
    log.add(now - 300, event="login", audit_log_type="User", audit_log_user="kim@example.com", item="kim@example.com")
    organisation.publish([detection(organisation, now - 300)])


def detection(organisation: Organisation, now: int) -> bytes:
    """The event of the case, happening now: the file is found on the first of its computers."""
    computer = next(iter(organisation.responses.computers.values()))
    event = {
        "id": (now << 32) + 1,
        "timestamp": now,
        "timestamp_nanoseconds": 0,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now)),
        "event_type": "Threat Detected",
        "event_type_id": THREAT_DETECTED,
        "detection": "W32.Evil",
        "severity": "High",
        "connector_guid": computer.guid,
        "group_guids": [computer.group_guid],
        "computer": {"connector_guid": computer.guid, "hostname": computer.hostname},
        "file": {"disposition": "Malicious", "file_name": "a.exe", "identity": {"sha256": SHA256}},
    }
    return json.dumps(event).encode()


class Passing:
    """What happens as time passes.

    Args:
        organisation: to which it happens.
    """

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._events = EventGenerator(clock_ns=time.time_ns)
        self._known: set[int] = set()
        self._numbers = itertools.count(1)

    def tick(self, now: int) -> None:
        """An event, and an entry of the audit log; in a stream that is new, the event of the case."""
        organisation = self._organisation
        if new := organisation.streams.keys() - self._known:
            self._known |= new
            organisation.publish([detection(organisation, now)])
        organisation.publish(self._events.bodies(1))
        number = next(self._numbers)
        organisation.audit_log.add(now, audit_log_user="kim@example.com", item="Protect", message=f"change {number}")


def write_files(folder: Path, cloud: LocalCloud, organisation: Organisation, ca_file: Path) -> None:
    """The API key, and a configuration that has everything of the organisation turned on."""
    config = {
        "streams": [
            {"credentials_file": "emea.yml", "organisation": "acme", "tls": {"ca_file": str(ca_file)}},
        ],
        "forward": {"servers": [{"host": "127.0.0.1", "port": 24224}]},
        "state": {"path": str(folder / "state.db")},
        "organisations": [
            {
                "name": "acme",
                "cloud": {"api": cloud.url},
                "api": {"client_id": organisation.client_id, "api_key_file": "api_key"},
                "audit_logs": {"poll_interval": "10s"},
                "computers": {},
                "vulnerabilities": {},
                "hunts": {"delay": "10s"},
                "names": True,
            }
        ],
    }
    for name, text in (("api_key", organisation.api_key), ("amp.yml", yaml.safe_dump(config, sort_keys=False))):
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text)


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fluent_plugin_amp.testing.local_cloud", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rest-only", action="store_true", help="without RabbitMQ: streams have no queues")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="how often something happens")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amp-local-cloud-")))
        certificates = make_certificates(folder / "certificates")
        broker = None
        if not options.rest_only:
            try:
                broker = stack.enter_context(PrivateRabbitMQ(certificates=certificates, folder=folder / "rabbitmq"))
            except RabbitMQMissing as missing:
                print(f"{missing}; --rest-only does without")
                return EXIT_UNAVAILABLE
        cloud = stack.enter_context(LocalCloud(broker=broker))
        organisation = cloud.add_organisation()
        furnish(organisation, int(time.time()))
        write_files(folder, cloud, organisation, certificates.ca_file)
        print(f"export AMP_API_HOST={cloud.url}")
        print(f"export AMP_CLIENT_ID={organisation.client_id}")
        for variable, file in (
            ("AMP_API_KEY_FILE", folder / "api_key"),
            ("AMP_RESPOND_JOURNAL", folder / "journal.ndjson"),
            ("SSL_CERT_FILE", certificates.ca_file),
        ):
            print(f"export {variable}={shlex.quote(str(file))}")
        print(f"cd {shlex.quote(str(folder))}    # amp.yml is a configuration for it")
        print("# until Ctrl-C", flush=True)
        passing = Passing(organisation)
        while True:
            time.sleep(options.every)
            passing.tick(int(time.time()))
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
