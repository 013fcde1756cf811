"""A stream that is configured by its name: the plugin asks the cloud for the rest, and for nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.rest import Request
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import StartPlugin
from tests.e2e.plugin import POLL_S

EVENTS = 20
API_OUTAGE = 6
"""Requests that fail: one look-up gives up after five."""


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """A customer with a stream called SIEM, and events in it."""
    organisation = cloud.add_organisation()
    make_siem(organisation)
    return organisation


def make_siem(organisation: Organisation) -> None:
    """Create the stream SIEM, and let events happen."""
    organisation.answer(Request("POST", "/v1/event_streams", "https://cloud", body=b'{"name": "SIEM"}'))
    organisation.publish(bodies(EVENTS))


def siem_section(
    cloud: LocalCloud, organisation: Organisation, certificates: Certificates, **keys: Any
) -> dict[str, Any]:
    """One entry of ``streams``: name, password, key and cloud."""
    (siem,) = organisation.streams.values()
    return {
        "event_stream_name": "SIEM",
        "password": siem.password,
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "cloud": {"api": cloud.url, "ca_file": str(certificates.ca_file)},
        "tls": {"ca_file": str(certificates.ca_file)},
        **keys,
    }


async def test_the_name_is_enough(
    cloud: LocalCloud, organisation: Organisation, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """What is in the stream is delivered, after one look at the cloud's list."""
    plugin = run(configuration(siem_section(cloud, organisation, certificates), fluentd), "--once")
    assert await plugin.ended() == 0
    assert ids_of(fluentd.records) == ids_of(bodies(EVENTS))
    assert {method for method, _ in cloud.requests} == {"GET"}
    assert all(path.startswith("/v1/event_streams") for _, path in cloud.requests)
    assert organisation.api_key not in plugin.log


async def test_a_cloud_that_is_away_is_waited_for(
    cloud: LocalCloud, organisation: Organisation, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """It is said, and once the cloud answers, events flow."""
    cloud.fail(Failure(silent=True, times=API_OUTAGE))
    plugin = run(configuration(siem_section(cloud, organisation, certificates), fluentd), "--once")
    assert await plugin.ended() == 0
    assert "[cloud.unreachable]" in plugin.log
    assert ids_of(fluentd.records) == ids_of(bodies(EVENTS))


async def test_a_wrong_key_is_the_trouble_of_one_stream(
    cloud: LocalCloud,
    organisation: Organisation,
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
) -> None:
    """The log says what to do, the other stream delivers, and the key is not repeated."""
    other = make_stream()
    await asyncio.to_thread(broker.publish, other.queue, bodies(EVENTS))
    wrong = siem_section(
        cloud, organisation, certificates, api={"client_id": organisation.client_id, "api_key": "hunter2hunter2"}
    )
    plugin = run(configuration([wrong, stream_section(other, certificates)], fluentd))
    await plugin.logged("[cloud.credentials-refused]")
    await fluentd.wait_for(lambda: ids_of(fluentd.records) == ids_of(bodies(EVENTS)))
    assert "Check client id and API key, and the cloud" in plugin.log
    assert "stream SIEM" in plugin.log
    assert "hunter2" not in plugin.log
    assert await plugin.stopped() == 0


async def test_a_stream_made_again_is_found_again(
    cloud: LocalCloud, organisation: Organisation, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """Deleted and created anew in the cloud, it is asked for again; that its password is another one is logged."""
    plugin = run(configuration(siem_section(cloud, organisation, certificates), fluentd))
    await fluentd.wait_for(lambda: ids_of(fluentd.records) == ids_of(bodies(EVENTS)))
    (stream_id,) = organisation.streams
    looked_up = len(cloud.requests)
    await asyncio.to_thread(organisation.delete, stream_id)
    await asyncio.to_thread(make_siem, organisation)
    await plugin.logged("[amqp.credentials-refused]")

    async def is_looked_up() -> None:
        while len(cloud.requests) == looked_up:  # noqa: ASYNC110, the cloud is a thread that tells nobody
            await asyncio.sleep(POLL_S)

    await asyncio.wait_for(is_looked_up(), DEADLINE_S)
    assert await plugin.stopped() == 0


async def test_check_looks_it_up_too(
    cloud: LocalCloud,
    organisation: Organisation,
    broker: PrivateRabbitMQ,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
) -> None:
    """The row says where the stream was found, and what waits there."""
    plugin = run(configuration(siem_section(cloud, organisation, certificates), fluentd), "--json", command="check")
    assert await plugin.ended() == 0
    (siem,) = organisation.streams.values()
    assert f"looked up: localhost:{broker.tls_port}, {siem.queue_name}: {EVENTS} messages" in plugin.log
