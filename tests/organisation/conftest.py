"""A local Cisco cloud with one organisation, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import find_cloud
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from tests.organisation.polling import Memory, Receiver


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A cloud without a broker, over plain HTTP."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """One customer of it."""
    return cloud.add_organisation()


@pytest.fixture
async def api(cloud: LocalCloud, organisation: Organisation) -> AsyncIterator[CiscoApi]:
    """The customer's API, reached directly."""
    async with http_client(proxy="") as http:
        yield CiscoApi(find_cloud(cloud.url), ApiKey(organisation.client_id, organisation.api_key), http)


@pytest.fixture
def receiver() -> Receiver:
    """Where records go."""
    return Receiver()


@pytest.fixture
def memory() -> Memory:
    """What outlives the process."""
    return Memory()
