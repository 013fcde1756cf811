"""Computers and names of an organisation: a crash loses none, and events are named while the cloud is away."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from tests.e2e.configs import FIRST_ID, bodies, configuration
from tests.e2e.conftest import Rig

COMPUTERS = 1200


async def test_computers_and_names_through_kills(rig: Rig, cloud: LocalCloud, fluentd: FakeFluentd) -> None:
    """Killed while computers are told, and once more with the cloud away afterwards."""
    organisation = cloud.add_organisation()
    guids = organisation.inventory.add_computers(COMPUTERS)
    group = organisation.inventory.computers[guids[7]].group_guid
    stream = rig.make_stream()
    section = {
        "name": "acme",
        "cloud": {"api": cloud.url, "ca_file": str(rig.certificates.ca_file)},
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "computers": {"poll_interval": "1m"},
        "names": True,
    }
    config = configuration(rig.section(stream, organisation="acme"), fluentd) | {
        "organisations": [section],
        "logging": {"level": "debug"},
        "state": {"path": str(rig.folder / "state.db")},
    }

    def told() -> Counter[str]:
        return Counter(each["computer"]["connector_guid"] for each in fluentd.records if each.get("change"))

    def named() -> dict[int, dict[str, Any]]:
        return {each["id"] - FIRST_ID: each["names"] for each in fluentd.records if "names" in each}

    async def publish(first: int) -> None:
        event = json.loads(bodies(1, first)[0]) | {"connector_guid": guids[7], "group_guids": [group]}
        await rig.publish(stream, [json.dumps(event).encode()])

    first = rig.run(config)
    await fluentd.wait_for(lambda: sum(told().values()) >= 300)
    first.kill()
    second = rig.run(config)
    await fluentd.wait_for(lambda: len(told()) == COMPUTERS)
    await second.logged("source acme/computers: polled in")
    await publish(0)
    await fluentd.wait_for(lambda: 0 in named())
    await rig.is_empty(stream)  # or it comes again, while the third begins
    second.kill()
    cloud.fail(Failure(status=401, body=b"{}", times=1000))
    third = rig.run(config)
    await third.logged("Next try in")
    await publish(1)
    await fluentd.wait_for(lambda: 1 in named())
    assert named()[1] == named()[0]
    assert "as_of" in named()[1]
    assert named()[1]["groups"] == [organisation.groups[group]]
    assert await third.stopped() == 0
    assert sum(told().values()) <= 2 * COMPUTERS
    await rig.is_empty(stream)
