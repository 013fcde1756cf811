"""The audit log of an organisation reaches the server, and a crash loses nothing of it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.cloud import LocalCloud, too_many_requests
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.forward import Entry
from fluent_plugin_amp.testing.organisation import Organisation
from tests.e2e.configs import bodies, configuration
from tests.e2e.conftest import Rig

ENTRIES, EARLIER = 1200, 30
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


def noted_as_delivered(state_file: Path, line: str) -> int:
    """How many records of a line the state file of a process that has ended knows as delivered."""
    with contextlib.closing(sqlite3.connect(state_file)) as connection:
        (count,) = connection.execute(
            "SELECT ifnull(sum(events), 0) FROM delivered JOIN streams ON streams.id = stream WHERE name = ?", (line,)
        ).fetchone()
    return int(count)


async def test_audit_log(rig: Rig, cloud: LocalCloud, fluentd: FakeFluentd) -> None:
    """Killed in the middle of it, with the cloud's rate limit used up at first: each entry comes.

    Twice come only entries that were on their way at the kill: sent, and not yet noted as delivered.  Those of before
    the plugin's first start come by `backfill` beside it, and `reconcile` finds them.
    """
    organisation = cloud.add_organisation()
    now = int(time.time())
    for number in range(ENTRIES):
        organisation.audit_log.add(
            now - 300 - number % 60, item=str(number), new_attributes={"unlock_code": "qwerty"}
        )
    for number in range(EARLIER):
        organisation.audit_log.add(now - 3 * 86_400 - number * 3600, item=f"earlier {number}")
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
    noted = noted_as_delivered(rig.folder / "state.db", "acme/audit_logs")
    second = rig.run(config)
    await fluentd.wait_for(lambda: len(entries()) == ENTRIES)
    organisation.audit_log.add(int(time.time()) - 70, item="late")
    await fluentd.wait_for(lambda: "late" in entries())
    options = ["--source", "audit_logs", "--since", "10d"]
    filled = rig.run(config, *options, command="backfill")
    assert await filled.ended() == 0, filled.log
    assert f"{EARLIER} entries in the cloud: {EARLIER} delivered, 0 dead letters, 0 delivered before" in filled.log
    found = rig.run(config, *options, "--json", command="reconcile")
    assert await found.ended() == 0, found.log
    compared = json.loads(found.log[found.log.index("{") :])  # behind the note that it ends where `run` began
    assert (compared["in_cloud"], compared["delivered"]) == (EARLIER, EARLIER)
    assert await second.stopped() == 0
    once = rig.run(config, "--once")
    assert await once.ended() == 0
    assert "--once reads queues only; not polled: 1 source of organisations" in once.log
    twice = {item for item, count in entries().items() if count > 1}
    assert max(entries().values()) <= 2
    assert not twice & {entry.record["item"] for entry in of_log()[:noted]}
    assert noted + len(twice) <= ENTRIES
    (entry,) = [entry for entry in of_log() if entry.record["item"] == "7"][:1]
    assert entry.record["tenant"] == "acme"
    assert entry.record["new_attributes"] == {"unlock_code": "***"}
    assert "qwerty" not in str(fluentd.records)
    await rig.is_empty(stream)
