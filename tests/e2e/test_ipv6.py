"""A network of IPv6 only: broker, proxy, server and status page, each by its address in brackets."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator

import pytest

from fluent_plugin_amp.errors import EXIT_OK
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.company_proxy import CompanyProxy, join
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import StartPlugin

EVENTS = 20
HOST = "::1"


@pytest.fixture
async def broker_port(broker: PrivateRabbitMQ) -> AsyncIterator[int]:
    """A port of IPv6 that leads to the broker's port for TLS."""
    joining: set[asyncio.Task[None]] = set()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        joining.add(task)
        await join(reader, writer, *await asyncio.open_connection("127.0.0.1", broker.tls_port))
        writer.close()

    server = await asyncio.start_server(lead, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in joining:
        task.cancel()
    await asyncio.gather(*joining, return_exceptions=True)


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_everything_over_ipv6(
    broker: PrivateRabbitMQ,
    broker_port: int,
    make_stream: MakeStream,
    certificates: Certificates,
    run: StartPlugin,
    through_proxy: bool,
) -> None:
    """Events arrive over TLS on both sides, `check` names the peers in brackets, and the page answers to `[::1]`."""
    stream = make_stream()
    page = free_port(HOST)
    section = {**stream_section(stream, certificates), "url": f"amqps://[{HOST}]:{broker_port}"}
    async with (
        FakeFluentd(host=HOST, tls=server_context(certificates.server)) as fluentd,
        CompanyProxy(host=HOST) as proxy,
    ):
        if through_proxy:
            section["proxy"] = f"http://[{HOST}]:{proxy.port}"
        config = configuration(section, fluentd, tls={"ca_file": str(certificates.ca_file)})
        config["observe"] = {"listen": f"[{HOST}]:{page}"}
        checked = run(config, command="check")
        assert await checked.ended() == EXIT_OK, checked.log
        assert f"[{HOST}]:{broker_port} " in checked.log
        assert f"server [{HOST}]:{fluentd.port} " in checked.log
        assert (f"through proxy [{HOST}]:{proxy.port}, " in checked.log) is through_proxy
        plugin = run(config)
        await asyncio.to_thread(broker.publish, stream.queue, bodies(EVENTS))
        await fluentd.wait_for(lambda: len(fluentd.records) == EVENTS)
        assert ids_of(fluentd.records) == ids_of(bodies(EVENTS))
        await plugin.logged("consuming")
        ready = await asyncio.to_thread(_get, f"http://[{HOST}]:{page}/readyz")
        assert ready["ready"] is True
        assert await plugin.stopped() == EXIT_OK
        assert proxy.asked == [f"[{HOST}]:{broker_port}"] * (2 if through_proxy else 0)


def _get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url) as answer:
        found: dict[str, object] = json.load(answer)
        return found
