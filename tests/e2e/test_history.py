"""`backfill` and `reconcile` beside a running daemon: what the queue brought is known by what the API shows."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rest import Request
from tests.e2e.configs import configuration
from tests.e2e.conftest import StartPlugin
from tests.e2e.plugin import eventually

BEFORE, DELIVERED = 150, 600
AGE_S = 3600.0


async def test_what_the_queue_brought_is_known_and_the_rest_is_filled_in(
    broker: PrivateRabbitMQ,
    cloud: LocalCloud,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    tmp_path: object,
) -> None:
    """Events of before the stream are not known to the daemon's state file, one that got lost is missing; with ids
    rounded; then all are delivered, and the daemon goes on.
    """
    organisation = cloud.add_organisation()
    organisation.events.rounded_ids = True
    generator = EventGenerator(seed=3, start_s=time.time() - AGE_S)
    missed, streamed = list(generator.bodies(BEFORE)), list(generator.bodies(DELIVERED))
    organisation.publish(missed)  # no stream carries them
    organisation.answer(Request("POST", "/v1/event_streams", "https://cloud", body=b'{"name": "SIEM"}'))
    (siem,) = organisation.streams.values()
    section = {
        "event_stream_name": "SIEM",
        "password": siem.password,
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "cloud": {"api": cloud.url, "ca_file": str(certificates.ca_file)},
        "tls": {"ca_file": str(certificates.ca_file)},
    }
    state = {"path": f"{tmp_path}/state.db"}
    config = {**configuration(section, fluentd), "state": state}
    daemon = run(config)
    await asyncio.to_thread(organisation.publish, streamed)
    await fluentd.wait_for(lambda: len(fluentd.records) == DELIVERED)
    await daemon.logged("in use")
    await eventually(lambda: sum(broker.queue_depth(siem.queue_name)[:2]) == 0)  # acked, so remembered

    options = ["--since", "2h", "--until", "10m"]
    found = run(config, *options, "--json", command="reconcile")
    assert await found.ended() == 0, found.log
    shown = json.loads(found.log)
    assert (shown["in_cloud"], shown["delivered"], shown["not_known"]) == (BEFORE + DELIVERED, DELIVERED, BEFORE)

    filled = run(config, *options, command="backfill")
    assert await filled.ended() == 0, filled.log
    assert f"{BEFORE} delivered, 0 dead letters, {DELIVERED} delivered before" in filled.log
    assert len(fluentd.records) == BEFORE + DELIVERED
    again = run(config, *options, "--json", command="reconcile")
    assert await again.ended() == 0, again.log
    shown = json.loads(again.log)
    assert (shown["delivered"], shown["missing"], shown["not_known"]) == (BEFORE + DELIVERED, 0, 0)
    assert shown["waiting_in_queue"] == 0

    known_s = datetime.fromisoformat(shown["known_since"].replace("Z", "+00:00")).timestamp()
    lost_s = known_s + 1.0  # when the state file was in use already
    await eventually(lambda: time.time() >= lost_s + 2.0)
    (lost,) = EventGenerator(seed=4, clock_ns=lambda: int(lost_s * 1e9)).bodies(1)
    organisation.events.add(json.loads(lost))  # and it never came to the queue
    options = ["--since", "2h", "--until", "0s", "--json"]
    repaired = run(config, *options, "--repair", command="reconcile")
    assert await repaired.ended() == 0, repaired.log
    shown = json.loads(repaired.log)
    assert (shown["missing"], shown["repaired"]) == (1, 1)

    new = list(generator.bodies(20))
    await asyncio.to_thread(organisation.publish, new)
    await fluentd.wait_for(lambda: len(fluentd.records) == BEFORE + DELIVERED + 1 + len(new))
    assert "state" not in [
        line.split()[2] for line in daemon.log.splitlines() if "warning" in line or "error" in line
    ]
    assert await daemon.stopped() == 0
