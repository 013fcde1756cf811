"""How many events wait in a queue, asked for with another stream's credentials."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fluent_plugin_amp.cisco.credentials import StreamCredentials as Saved
from fluent_plugin_amp.cisco.credentials import render
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable
from fluent_plugin_amp.commands.queue_depth import Brokers
from fluent_plugin_amp.errors import BrokerProxyFailed, PluginError
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials

Make = Callable[[], StreamCredentials]


@pytest.fixture
def saved(make_stream: Make) -> Saved:
    """The credentials of a twin."""
    twin = make_stream()
    return Saved("twin", 7, "eu", twin.tls_url, twin.username, twin.password, twin.queue)


async def test_the_old_queue_is_counted_with_the_twins_user(
    broker: PrivateRabbitMQ, make_stream: Make, saved: Saved, certificates: Certificates, tmp_path: Path
) -> None:
    """Though the twin's user may not read it."""
    old = make_stream()
    path = tmp_path / "twin.yml"
    path.write_text(render(saved, "yaml"))
    assert await Brokers().count_waiting(old.queue, path, ca_file=str(certificates.ca_file)) == 0
    broker.publish(old.queue, [b"{}"] * 3)
    assert await Brokers().count_waiting(old.queue, path, ca_file=str(certificates.ca_file)) == 3


async def test_the_way_may_lead_through_a_proxy(
    make_stream: Make, saved: Saved, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a text, from the environment, or not at all; what is no proxy is an error."""
    old, ca_file = make_stream(), str(certificates.ca_file)
    path = tmp_path / "twin.yml"
    path.write_text(render(saved, "yaml"))
    async with CompanyProxy() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert await Brokers(url).count_waiting(old.queue, path, ca_file=ca_file) == 0
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert await Brokers("environment").count_waiting(old.queue, path, ca_file=ca_file) == 0
        assert len(proxy.asked) == 2
        assert await Brokers().count_waiting(old.queue, path, ca_file=ca_file) == 0
        assert await Brokers("direct").count_waiting(old.queue, path, ca_file=ca_file) == 0
        assert len(proxy.asked) == 2
        monkeypatch.setenv("HTTPS_PROXY", "ftp://user:hunter2@proxy")
        with pytest.raises(BrokerProxyFailed, match=r"the proxy HTTPS_PROXY must be") as caught:
            await Brokers("environment").verify(path, ca_file=ca_file)
        assert "hunter2" not in str(caught.value)


async def test_a_streams_own_proxy_is_taken_unless_the_command_names_one(
    make_stream: Make, saved: Saved, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes before that of the environment, which may tell it; what is no proxy is told, without its words."""
    path, ca_file = tmp_path / "stream.yml", str(certificates.ca_file)
    path.write_text(render(saved, "yaml"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with CompanyProxy() as proxy:
        monkeypatch.setenv("TENANTS_PROXY", f"http://127.0.0.1:{proxy.port}")
        await Brokers("environment").verify(path, ca_file=ca_file, proxy="${TENANTS_PROXY}")
        assert len(proxy.asked) == 1
        await Brokers("environment").verify(path, ca_file=ca_file, proxy="direct")
        await Brokers("direct").verify(path, ca_file=ca_file, proxy="http://127.0.0.1:1")
        assert len(proxy.asked) == 1
    for own, told in ((7, "must be a text"), ("${NO_PROXY_HERE}", "has no value: .* NO_PROXY_HERE is not set")):
        with pytest.raises(BrokerProxyFailed, match=f"the proxy {told}"):
            await Brokers("environment").verify(path, ca_file=ca_file, proxy=own)


@pytest.mark.parametrize(
    ("trouble", "id_"),
    [
        ("no file", "credentials.file-unusable"),
        ("another form", "credentials.file-unusable"),
        ("wrong password", "amqp.credentials-refused"),
        ("untrusted", "amqp.certificate-refused"),
        ("no queue", "amqp.queue-not-found"),
        ("no port", "credentials.file-unusable"),
        ("a pipe", "credentials.file-unusable"),
    ],
)
async def test_what_cannot_be_told_is_an_error(
    make_stream: Make, saved: Saved, certificates: Certificates, tmp_path: Path, trouble: str, id_: str
) -> None:
    """A file in another form, a broker that refuses, a queue that is gone: the error says which."""
    old = make_stream()
    path = tmp_path / "twin.yml"
    given = {
        "wrong password": replace(saved, password="wrong"),
        "no port": replace(saved, url="amqps://localhost:none"),
    }.get(trouble, saved)
    if trouble != "no file":
        path.write_text(render(given, "env" if trouble == "another form" else "yaml"))
    ca_file = certificates.untrusted_ca_file if trouble == "untrusted" else certificates.ca_file
    if trouble == "a pipe":
        ca_file = tmp_path / "pipe"
        os.mkfifo(ca_file)
    queue = "event_stream_0" if trouble == "no queue" else old.queue
    with pytest.raises(PluginError) as caught:
        await Brokers().count_waiting(queue, path, ca_file=str(ca_file))
    assert caught.value.id == id_


@pytest.mark.parametrize(
    "url", ["amqps://me:hunter2/x@localhost", "amqps://me:hunter2@a\u2100", "amqps://me:hunter2@[::1"]
)
async def test_a_url_that_is_none_is_not_quoted(saved: Saved, tmp_path: Path, url: str) -> None:
    """What looks like a port may be a piece of a password."""
    path = tmp_path / "stream.yml"
    path.write_text(render(replace(saved, url=url), "yaml"))
    with pytest.raises(CredentialsFileUnusable, match=r"the url is none$") as caught:
        await Brokers().verify(path, ca_file=None)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
