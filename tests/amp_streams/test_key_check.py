"""Does a key work, where, and what may it do?"""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from fluent_plugin_amp.amp_streams.key_check import Finding, check_key, verdict
from fluent_plugin_amp.cisco.answers import RateLimit
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.errors import CloudCredentialsRefused, CloudUnreachable
from fluent_plugin_amp.cisco.regions import CLOUDS, find_cloud
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.testing.cloud import LocalCloud
from tests.cisco.helpers import Waits

US, EU, APJC = CLOUDS.values()
REFUSED, AWAY = CloudCredentialsRefused("401"), CloudUnreachable("no connection")


async def test_the_cloud_of_a_key_is_found_by_asking_each(waits: Waits) -> None:
    """One accepts it, the others refuse; nothing is changed anywhere."""
    async with AsyncExitStack() as stack:
        clouds = [stack.enter_context(LocalCloud()) for _ in range(3)]
        organisation = clouds[1].add_organisation("id", "key")
        http = await stack.enter_async_context(http_client())
        asked = [find_cloud(cloud.url) for cloud in clouds]
        findings = await check_key(asked, lambda cloud: CiscoApi(cloud, ApiKey("id", "key"), http, wait=waits))
        assert [finding.error is None for finding in findings] == [False, True, False]
        assert (findings[1].version, findings[1].may_write) == ("v1.2.0", True)
        assert findings[1].rate_limit is not None
        assert isinstance(findings[0].error, CloudCredentialsRefused)
        assert verdict(findings) is None
        assert organisation.streams == {}


@pytest.mark.parametrize(
    ("errors", "kind", "said"),
    [
        ((None, REFUSED, REFUSED), None, ""),
        ((REFUSED,), CloudCredentialsRefused, "^401$"),
        ((REFUSED, REFUSED, REFUSED), CloudCredentialsRefused, "no public cloud accepts this key .us: 401; eu: 401"),
        ((REFUSED, AWAY, REFUSED), CloudUnreachable, "not all could be asked .us: 401; eu: no connection"),
        ((AWAY, AWAY, AWAY), CloudUnreachable, "not all could be asked"),
    ],
)
def test_a_key_is_wrong_only_where_every_cloud_says_so(
    errors: tuple[PluginError | None, ...], kind: type[PluginError] | None, said: str
) -> None:
    """Where a cloud could not be asked, it is not known."""
    error = verdict([Finding(cloud, error=error) for cloud, error in zip((US, EU, APJC), errors, strict=False)])
    if kind is None:
        assert error is None
        return
    assert type(error) is kind
    with pytest.raises(kind, match=said):
        raise error


def test_trying_a_key_does_not_recommend_to_try_it() -> None:
    """Of one cloud that refuses it: for a public one, the others are worth a try."""
    for cloud, said in ((EU, "without --region"), (find_cloud("amp.example.com"), "this private cloud")):
        error = verdict([Finding(cloud, error=CloudCredentialsRefused("401"))])
        assert error is not None
        assert said in error.remedy
        assert "amp-streams test" not in error.remedy


@pytest.mark.parametrize(
    ("may_write", "said"), [(True, "read & write"), (False, "read-only"), (None, "cannot be told")]
)
def test_what_a_key_may_do_is_said(may_write: bool | None, said: str) -> None:
    """In a line, with what is left of the rate limit where the cloud tells."""
    finding = Finding(EU, "v1.2.0", may_write, RateLimit(3000, 2990, 3540.0))
    assert f"key          accepted, {said}" in finding.as_text().replace("reads; whether it may write ", "")
    assert "2990 of 3000 requests left, starts anew in 59 min" in finding.as_text()
    assert finding.as_json()["may_write"] is may_write


def test_what_a_cloud_does_not_tell_is_left_out() -> None:
    """No rate limit, or only a part of it."""
    assert "rate limit" not in Finding(EU, "v1.2.0", True).as_text()
    assert "rate limit   5 requests left\n" in Finding(EU, "v1.2.0", True, RateLimit(None, 5, None)).as_text()
    assert Finding(EU, error=REFUSED).as_json()["error"] == {"id": "cloud.credentials-refused", "message": "401"}
