"""A local Cisco cloud, a client of it that never really waits, and a proxy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import find_cloud
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import Connect, Proxy, Waits, clean_environment


@pytest.fixture(autouse=True)
def no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the proxies and keys of the machine it runs on."""
    clean_environment(monkeypatch)


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A cloud without a broker, over plain HTTP."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """One customer of it."""
    return cloud.add_organisation("3rdparty0123456789ab", "0f1e2d3c-key-0123456789")


@pytest.fixture
def waits() -> Waits:
    """What `api` waited for."""
    return Waits()


@pytest.fixture
def connect(cloud: LocalCloud, waits: Waits) -> Connect:
    """``async with connect(organisation) as api``, with any option of `http_client` and `CiscoApi`."""

    @contextlib.asynccontextmanager
    async def connect(
        organisation: Organisation, *, url: str | None = None, max_wait_s: float = 300.0, **options: Any
    ) -> AsyncIterator[CiscoApi]:
        key = ApiKey(organisation.client_id, organisation.api_key)
        async with http_client(**options) as http:
            yield CiscoApi(find_cloud(url or cloud.url), key, http, wait=waits, max_wait_s=max_wait_s)

    return connect


@pytest.fixture
async def api(connect: Connect, organisation: Organisation) -> AsyncIterator[CiscoApi]:
    """A client of the cloud with the customer's key."""
    async with connect(organisation) as api:
        yield api


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy for user:secret."""
    proxy = Proxy()
    yield proxy
    proxy.close()
