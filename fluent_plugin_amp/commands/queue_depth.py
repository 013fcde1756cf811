"""Two questions of commands to a broker: how many events wait, and are these credentials good?"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from fluent_plugin_amp.cisco.credentials import read
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable
from fluent_plugin_amp.cisco.transport import tls_context
from fluent_plugin_amp.config.proxy import ProxyWay, proxy_to, read_way
from fluent_plugin_amp.config.variables import expand
from fluent_plugin_amp.errors import BrokerProxyFailed, PluginError
from fluent_plugin_amp.source import amqp

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


async def messages_ready(broker: amqp.BrokerAddress, queue: str) -> int | None:
    """Messages ready in ``queue``; None where the broker does not tell.  None of them is taken."""
    try:
        return await _declare(broker, queue)
    except PluginError:
        return None


async def _declare(broker: amqp.BrokerAddress, queue: str) -> int:
    """Messages ready in ``queue``.  Raises PluginError."""
    connection = await amqp.connect(broker)
    try:
        channel = await connection.open_channel()
        return (await channel.declare_passive(queue)).messages
    finally:
        await connection.close(CLOSE_TIMEOUT_S)


class Brokers:
    """An `amp_streams.apply.Broker`: each question opens a connection with the credentials in a file.

    ``proxy``: the way to all brokers, a text as in the configuration.
    ``environment`` and None leave a stream its own.
    """

    def __init__(self, proxy: ProxyWay | str = None) -> None:
        self._proxy = proxy

    async def verify(self, path: Path, *, ca_file: str | None, proxy: object = None) -> None:
        """Log in and find the queue.  It is not read, which would take events from others."""
        await self.count_waiting(read(path).queue, path, ca_file=ca_file, proxy=proxy)

    async def count_waiting(self, queue: str, path: Path, *, ca_file: str | None, proxy: object = None) -> int:
        """Messages ready in a queue, the file's own or another's.

        A passive declare needs no permission on the queue.  So the user of a twin can ask about the queue of the old
        stream, whose password may be lost.
        """
        saved = read(path)
        try:
            url = urlsplit(saved.url)
            host, port = url.hostname or "", url.port or 443
        except ValueError:  # which quotes what may be a piece of a password
            raise CredentialsFileUnusable(f"{path}: the url is none") from None
        try:
            way = proxy_to(host, port, self._way(proxy), os.environ)
        except ValueError as exc:
            raise BrokerProxyFailed(f"no way to {host}: the proxy {exc}") from None
        try:
            tls = tls_context(ca_file)
        except ValueError as exc:
            raise CredentialsFileUnusable(str(exc), remedy="Name the file with the broker's CA.") from exc
        broker = amqp.BrokerAddress(
            host=host,
            port=port,
            username=saved.username,
            password=saved.password,
            tls=tls,
            proxy=way,
            connect_timeout_s=CONNECT_TIMEOUT_S,
        )
        return await _declare(broker, queue)

    def _way(self, own: object) -> ProxyWay:
        """The way to the broker of a stream whose entry says ``own``.  Raises ValueError, which quotes neither."""
        if own is None or self._proxy not in (None, "environment"):
            return read_way(self._proxy) if isinstance(self._proxy, str) else self._proxy
        return read_way(_expanded(own) if isinstance(own, str) else own)


def _expanded(own: str) -> str:
    try:
        return expand(own, os.environ)
    except ValueError as exc:
        raise ValueError(f"has no value: {exc}") from None
