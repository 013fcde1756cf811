"""What no cloud should answer, as any HTTP client sees it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest

from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.hostile_answers import bomb, dripping, odd_bodies, packed, reset_as_epoch
from fluent_plugin_amp.testing.waiting import DEADLINE_S


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A cloud over plain HTTP."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def client(cloud: LocalCloud) -> Iterator[httpx.Client]:
    """A client of it, with a good key, that takes no proxy."""
    organisation = cloud.add_organisation()
    with httpx.Client(
        base_url=cloud.url,
        auth=(organisation.client_id, organisation.api_key),
        trust_env=False,
        timeout=DEADLINE_S,
    ) as client:
        yield client


@pytest.mark.parametrize("packed_twice", [True, False])
def test_a_bomb_is_small_until_it_is_unpacked(cloud: LocalCloud, client: httpx.Client, packed_twice: bool) -> None:
    """It arrives as it was made, with its coding, and is an answer in the end."""
    cloud.fail(bomb(20, packed_twice=packed_twice))
    with client.stream("GET", "/v1/groups") as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == ("gzip, gzip" if packed_twice else "gzip")
    assert len(raw) < (2_000 if packed_twice else 40_000)
    unpacked = gzip.decompress(gzip.decompress(raw) if packed_twice else raw)
    assert len(unpacked) > 20 << 20
    assert unpacked.endswith(b' {"data": []}')
    assert gzip.decompress(gzip.decompress(packed(b"x", 2))) == b"x"


def test_an_answer_drips(cloud: LocalCloud, client: httpx.Client) -> None:
    """The right one, byte by byte; the next one comes at once."""
    cloud.fail(dripping(0.0001))
    with client.stream("GET", "/v1/version") as response:
        parts = list(response.iter_raw())
    assert len(parts) > 20
    assert b"".join(parts) == client.get("/v1/version").content


def test_a_reset_is_a_time(cloud: LocalCloud, client: httpx.Client) -> None:
    """Since the epoch."""
    cloud.fail(reset_as_epoch(30))
    response = client.get("/v1/version")
    assert response.status_code == 429
    assert int(response.headers["x-ratelimit-reset"]) > 1_500_000_000


def test_every_page_may_have_a_next(cloud: LocalCloud, client: httpx.Client) -> None:
    """The last one, and the empty one behind it."""
    (organisation,) = cloud.organisations()
    organisation.next_on_the_last_page = True
    for offset, count in ((0, 4), (4, 0)):
        page = client.get("/v1/groups", params={"offset": offset}).json()
        assert (len(page["data"]), "next" in page["metadata"]["links"]) == (count, True)


def test_odd_bodies_are_not_alike() -> None:
    """Each has a reason of its own to be here."""
    assert len(set(odd_bodies().values())) == len(odd_bodies()) > 20
