"""Where an event stream is that the configuration knows by its name only: asked of its Cisco cloud, over REST.

Imported only where there is such a stream: it brings the HTTP client with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.cisco.streams import find_by_name
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.config import StreamConfig
from fluent_plugin_amp.config.proxy import ProxyWay
from fluent_plugin_amp.errors import ConfigError, PluginError
from fluent_plugin_amp.proxy import Proxy

if TYPE_CHECKING:
    import httpx


@contextlib.asynccontextmanager
async def open_http(unusable: Callable[[str], PluginError], **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """`http_client` with its options; what they are not good for is raised as ``unusable``."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(http_client(**options))
        except ValueError as exc:
            raise unusable(str(exc)) from exc
        yield client


@contextlib.asynccontextmanager
async def open_api(cloud: Cloud, key: ApiKey, proxy: ProxyWay = None, **options: Any) -> AsyncIterator[CiscoApi]:
    """The API of one organisation, over one connection, with the options of `CiscoApi`.

    Raises:
        ConfigError: the environment's proxy, or ``cloud.ca_file``, cannot be used.
    """
    async with open_http(misconfigured, ca_file=cloud.ca_file, proxy=http_proxy(proxy), connections=1) as http:
        yield CiscoApi(cloud, key, http, **options)


def http_proxy(proxy: ProxyWay) -> str | None:
    """``proxy`` of a stream, for `http_client`; the text may hold a password."""
    if isinstance(proxy, Proxy):
        return proxy.url
    return "" if proxy == "direct" else None


def misconfigured(why: str) -> ConfigError:
    """The way to a cloud cannot be used as it is configured."""
    return ConfigError(why, remedy="Check HTTPS_PROXY and ALL_PROXY in the environment, and cloud.ca_file.")


async def look_up(stream: StreamConfig) -> StreamConfig:
    """The same stream with ``url``, ``username`` and ``queue``; it must have ``event_stream_name``.

    Raises:
        EventStreamNotFound, EventStreamAmbiguous: the cloud has no such stream, or several.
        PluginError: what `CiscoApi` raises.
        ConfigError: the environment's proxy, or ``cloud.ca_file``, cannot be used.
    """
    cloud = stream.cloud.cloud if stream.cloud is not None else None
    if stream.event_stream_name is None or stream.api is None or cloud is None:
        raise ValueError(f"stream {stream.name} is not one to look up")
    async with open_api(cloud, stream.api.key, stream.proxy) as api:
        address = await find_by_name(api, stream.event_stream_name)
    return stream.found(url=address.url, username=address.username, queue=address.queue)
