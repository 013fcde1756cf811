"""A network whose only way out is a proxy: nothing is lost, whatever becomes of the proxy, and no secret is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fluent_plugin_amp.errors import EXIT_CONFIG, EXIT_OK, EXIT_REFUSED
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.reactions import Ack, HoldAck
from tests.conftest import MakeStream
from tests.e2e.configs import bodies, configuration, ids_of, stream_section
from tests.e2e.conftest import StartPlugin
from tests.e2e.plugin import Plugin
from tests.e2e.test_event_stream_name import EVENTS, make_siem, siem_section

USER, PASSWORD = "company", "hunter2"
ONLY_THERE = "broker.intern.example"
SCHEMES = ("http", "socks5")


class ProxyProcess:
    """A proxy as a process of its own, on a port that outlives it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; who comes before it listens is refused."""
        module = "fluent_plugin_amp.testing.company_proxy"
        self._process = subprocess.Popen([sys.executable, "-m", module, str(self.port), f"{USER}:{PASSWORD}"])

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def proxy_process() -> Iterator[ProxyProcess]:
    """A proxy that runs."""
    proxy = ProxyProcess()
    proxy.start()
    yield proxy
    proxy.kill()


@pytest.fixture
async def company_proxy() -> AsyncIterator[CompanyProxy]:
    """A proxy in this process, which alone knows the broker's name."""
    async with CompanyProxy(username=USER, password=PASSWORD, names={ONLY_THERE: "127.0.0.1"}) as proxy:
        yield proxy


def url_of(scheme: str, port: int, password: str = PASSWORD) -> str:
    """The proxy's, as the configuration has it."""
    return f"{scheme}://{USER}:{password}@127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_proxy_killed_with_chunks_in_flight(
    broker: PrivateRabbitMQ,
    make_stream: MakeStream,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    proxy_process: ProxyProcess,
    scheme: str,
) -> None:
    """After SIGKILL the proxy is named, and tried again; once it is back every event arrives, and none is left.

    The broker is spoken to over TLS all the way, and no line of the log shows the proxy's password.
    """
    stream = make_stream()
    section = stream_section(stream, certificates, proxy=url_of(scheme, proxy_process.port))
    brisk = "from fluent_plugin_amp.source import retry; retry.LONG_RETRY_CAP_S = 1.0"
    plugin: Plugin = run(configuration(section, fluentd), prelude=brisk)
    published = bodies(1 + 2 * EVENTS)
    await asyncio.to_thread(broker.publish, stream.queue, published[:1])
    await asyncio.to_thread(broker.wait_for_depth, stream.queue, lambda depth: depth[:2] == (0, 0))
    fluentd.reaction = HoldAck()
    await asyncio.to_thread(broker.publish, stream.queue, published[1 : 1 + EVENTS])
    await fluentd.wait_for(lambda: not all(chunk.accepted for chunk in fluentd.chunks))
    await asyncio.to_thread(proxy_process.kill)
    await plugin.logged("[amqp.connection-lost]")
    await plugin.logged(f"[amqp.proxy-failed] no way to localhost:{broker.tls_port} through the proxy 127.0.0.1:")
    await asyncio.to_thread(broker.publish, stream.queue, published[1 + EVENTS :])
    fluentd.reaction = Ack()
    fluentd.release()
    proxy_process.start()
    await asyncio.to_thread(broker.wait_for_depth, stream.queue, lambda depth: depth[:2] == (0, 0))
    assert await plugin.stopped() == EXIT_OK
    assert set(ids_of(fluentd.records)) == set(ids_of(published))
    assert PASSWORD not in plugin.log


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_look_up_check_and_delivery_go_through_the_proxy(
    cloud: LocalCloud, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd, scheme: str
) -> None:
    """A stream known by its name: REST and AMQP take the one proxy that is there for all, and `check` says so."""
    organisation = cloud.add_organisation()
    make_siem(organisation)
    section = siem_section(cloud, organisation, certificates)
    async with CompanyProxy(username=USER, password=PASSWORD) as proxy:
        config = {**configuration(section, fluentd), "proxy": url_of(scheme, proxy.port)}
        checked = run(config, "--json", command="check")
        assert await checked.ended() == EXIT_OK
        (row,) = (row for row in _rows(checked) if row["kind"] == "stream")
        assert f", through proxy 127.0.0.1:{proxy.port}, event_stream_" in row["result"]
        assert len(proxy.asked) == 2
        plugin = run(config, "--once")
        assert await plugin.ended() == EXIT_OK
        assert ids_of(fluentd.records) == ids_of(bodies(EVENTS))
        assert len(proxy.asked) == 4
        assert PASSWORD not in checked.log + plugin.log


async def test_the_environments_proxy_is_taken_only_when_asked_for(
    make_stream: MakeStream,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    company_proxy: CompanyProxy,
) -> None:
    """A name that only the proxy knows, by HTTPS_PROXY: reached with `environment`, and not without."""
    stream = make_stream()
    environment = {"HTTPS_PROXY": url_of("http", company_proxy.port), "NO_PROXY": "127.0.0.1"}
    section = stream_section(stream, certificates)
    section["url"] = section["url"].replace("localhost", ONLY_THERE)
    section["tls"]["server_name"] = "localhost"
    asked = run(configuration({**section, "proxy": "environment"}, fluentd), command="check", environment=environment)
    assert await asked.ended() == EXIT_OK, asked.log
    assert f"through proxy 127.0.0.1:{company_proxy.port}, {stream.queue}: 0 messages" in asked.log
    unasked = run(configuration(section, fluentd), command="check", environment=environment)
    assert await unasked.ended() != EXIT_OK
    assert "[amqp.unreachable]" in unasked.log
    assert len(company_proxy.asked) == 1


async def test_a_refusal_of_the_proxy_is_told_with_its_remedy(
    make_stream: MakeStream,
    certificates: Certificates,
    run: StartPlugin,
    fluentd: FakeFluentd,
    company_proxy: CompanyProxy,
) -> None:
    """A wrong password of the proxy: `check` ends with 77 and 407, and shows neither password."""
    section = stream_section(make_stream(), certificates, proxy=url_of("http", company_proxy.port, "hunter3"))
    checked = run(configuration(section, fluentd), command="check")
    assert await checked.ended() == EXIT_REFUSED
    assert "[amqp.proxy-refused] the proxy 127.0.0.1:" in checked.log
    assert "answered 407 Proxy Authentication Required. Check user and password in `proxy`" in checked.log
    assert "hunter" not in checked.log


async def test_a_proxy_of_the_environment_that_cannot_be_used(
    make_stream: MakeStream, certificates: Certificates, run: StartPlugin, fluentd: FakeFluentd
) -> None:
    """It is a mistake at the start, which names the variable and not its value."""
    section = stream_section(make_stream(), certificates, proxy="environment")
    plugin = run(configuration(section, fluentd), environment={"HTTPS_PROXY": "https://me:hunter2@proxy:1"})
    assert await plugin.ended() == EXIT_CONFIG
    assert "[config.invalid]: HTTPS_PROXY must be http://host:port or socks5://host:port" in plugin.log
    assert PASSWORD not in plugin.log


def _rows(plugin: Plugin) -> list[dict[str, Any]]:
    with contextlib.suppress(ValueError):
        found = json.loads(plugin.log)
        return found if isinstance(found, list) else found["rows"]
    raise AssertionError(plugin.log)
