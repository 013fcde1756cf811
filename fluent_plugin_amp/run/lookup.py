"""Where an event stream is that the configuration knows by its name only: asked of its Cisco cloud, over REST.

Imported only where there is such a stream: it brings the HTTP client with it.
"""

from __future__ import annotations

import contextlib

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.streams import find_by_name
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.config import StreamConfig
from fluent_plugin_amp.errors import ConfigError

PROXY_REMEDY = "Check HTTPS_PROXY and ALL_PROXY in the environment, and cloud.ca_file."


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
    async with contextlib.AsyncExitStack() as stack:
        try:
            http = await stack.enter_async_context(http_client(ca_file=cloud.ca_file, connections=1))
        except ValueError as exc:
            raise ConfigError(str(exc), remedy=PROXY_REMEDY) from exc
        address = await find_by_name(CiscoApi(cloud, stream.api.key, http), stream.event_stream_name)
    return stream.found(url=address.url, username=address.username, queue=address.queue)
