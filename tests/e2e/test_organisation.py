"""The audit log of an organisation reaches the server, and a crash loses nothing of it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from fluent_plugin_amp.testing.cloud import LocalCloud, too_many_requests
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Entry
from fluent_plugin_amp.testing.organisation import Organisation
from tests.e2e.configs import bodies, configuration
from tests.e2e.conftest import Rig

ENTRIES = 1200
TAG = "edr.cisco.amp.audit_logs"


def organisation_section(
    cloud: LocalCloud, organisation: Organisation, ca_file: object, **keys: Any
) -> dict[str, Any]:
    """One entry of ``organisations``."""
    return {
        "name": "acme",
        "cloud": {"api": cloud.url, "ca_file": str(ca_file)},
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        **keys,
    }


async def test_audit_log(rig: Rig, cloud: LocalCloud, fluentd: FakeFluentd) -> None:
    """Killed in the middle of it, with the cloud's rate limit used up at first: each entry comes, and none twice."""
    organisation = cloud.add_organisation()
    now = int(time.time())
    for number in range(ENTRIES):
        organisation.audit_log.add(
            now - 300 - number % 60, item=str(number), new_attributes={"unlock_code": "qwerty"}
        )
    cloud.fail(too_many_requests(1))
    stream = rig.make_stream()
    await rig.publish(stream, bodies(3))
    section = organisation_section(
        cloud, organisation, rig.certificates.ca_file, audit_logs={"poll_interval": "1s"}, add={"tenant": "acme"}
    )
    config = configuration(rig.section(stream), fluentd) | {
        "organisations": [section],
        "state": {"path": str(rig.folder / "state.db")},
    }

    def of_log() -> list[Entry]:
        return [
            entry for chunk in fluentd.chunks if chunk.tag == "edr.cisco.amp.audit_logs" for entry in chunk.entries
        ]

    def entries() -> Counter[str]:
        return Counter(entry.record["item"] for entry in of_log())

    first = rig.run(config)
    await fluentd.wait_for(lambda: sum(entries().values()) >= 300)
    first.kill()
    second = rig.run(config)
    await fluentd.wait_for(lambda: len(entries()) == ENTRIES)
    organisation.audit_log.add(int(time.time()) - 70, item="late")
    await fluentd.wait_for(lambda: "late" in entries())
    assert await second.stopped() == 0
    doubled = sum(count - 1 for count in entries().values())
    assert doubled <= 2000, "only what was on its way at the kill"
    (entry,) = [entry for entry in of_log() if entry.record["item"] == "7"][:1]
    assert entry.record["tenant"] == "acme"
    assert entry.record["new_attributes"] == {"unlock_code": "***"}
    assert "qwerty" not in str(fluentd.records)
    await rig.is_empty(stream)
