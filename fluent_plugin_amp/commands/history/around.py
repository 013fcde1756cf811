"""What `backfill` and `reconcile` work with besides what is asked for: the API of a stream, and who watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fluent_plugin_amp.cisco.api import CiscoApi, Wait
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.config import StreamConfig
from fluent_plugin_amp.config.access import Given, find_access
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.history.batches import Progress, cloud_of
from fluent_plugin_amp.run import lookup

MAX_WAIT_S = 2 * 3600.0
"""For the rate limit, at one request: longer than its window."""
ACCESS_REMEDY = (
    "Give the stream `api: {client_id: …, api_key_file: …}` and `cloud: us|eu|apjc` (or a mapping with `api`), or "
    "set AMP_CLIENT_ID, AMP_API_KEY and AMP_REGION."
)


@dataclass(frozen=True, slots=True)
class Around:
    """What a command works with that is not asked for by its user."""

    environ: Mapping[str, str]
    observer: Observer
    wait: Wait
    """For the rate limit."""
    stop: asyncio.Event
    """Set when the command is to end in order."""
    on_progress: Callable[[Progress], None] = lambda progress: None


def open_api(stream: StreamConfig, around: Around) -> contextlib.AbstractAsyncContextManager[CiscoApi]:
    """The API of the organisation that a stream belongs to.

    Raises:
        UsageError: neither the stream nor the environment says which cloud, or has a key.
        ConfigError: ``cloud.ca_file`` or the environment's proxy cannot be used.
    """
    return lookup.open_api(*_access(stream, around.environ), stream.proxy, wait=around.wait, max_wait_s=MAX_WAIT_S)


def _access(stream: StreamConfig, environ: Mapping[str, str]) -> tuple[Cloud, ApiKey]:
    """What the stream says, else the environment; a public cloud is known by its broker."""
    cloud = cloud_of(stream)
    if stream.api is not None:
        key = stream.api.key
    else:
        try:
            access = find_access(Given(), environ)
        except UsageError as error:
            raise UsageError(f"stream {stream.name}: {error}", remedy=ACCESS_REMEDY) from error
        key, cloud = access.key, cloud or access.cloud
    if cloud is None:
        raise UsageError(f"stream {stream.name}: which Cisco cloud is it from?", remedy=ACCESS_REMEDY)
    return cloud, key
