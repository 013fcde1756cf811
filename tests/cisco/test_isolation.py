"""Isolation, over REST, against the local cloud."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco import isolation
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import ActionInDoubt, CloudProxyRefused, CloudRefused, ComputerNotFound
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer

UNKNOWN = "6a5f008f-9240-4c59-b73a-982517dc3824"


@pytest.fixture
def computer(organisation: Organisation) -> LocalComputer:
    """A computer that takes one look to get where it is sent."""
    return organisation.responses.add_computer("desk-014")


async def test_an_isolation_takes_its_time(api: CiscoApi, computer: LocalComputer) -> None:
    """Pending first, then isolated; released the same way."""
    await isolation.start(api, computer.guid, "case 77")
    states = [(await isolation.status(api, computer.guid)).status for _ in range(2)]
    assert states == ["pending_start", "isolated"]
    assert (await isolation.status(api, computer.guid)).comment == "case 77"
    await isolation.stop(api, computer.guid, "done")
    states = [(await isolation.status(api, computer.guid)).status for _ in range(2)]
    assert states == ["pending_stop", "not_isolated"]


async def test_no_unlock_code_is_read(api: CiscoApi, computer: LocalComputer) -> None:
    """It comes with the answer, and is in nothing that is made of it."""
    assert computer.unlock_code not in repr(await isolation.status(api, computer.guid))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {}, "errors": {"unlock_code": "S3cretCode"}}',
        b'{"data": {}, "errors": ["its unlock code S3cretCode"]}',
        b"unlock_code=S3cretCode",
        b'{"data": {}, "errors": ["the unlock code is S3cretCode"]}',
        b'{"data": {}, "errors": ["was {\\"unlock_code\\": \\"S3cretCode\\"}"]}',
        b'{"data": {}, "errors": {"unlock-code": ["S3cretCode"]}}',
    ],
)
async def test_no_error_quotes_an_unlock_code(
    api: CiscoApi, cloud: LocalCloud, computer: LocalComputer, body: bytes
) -> None:
    """Whatever words the cloud wraps it in; what is no JSON may be a proxy's page, and is in doubt."""
    cloud.fail(Failure("PUT", status=409, body=body))
    with pytest.raises(CloudRefused if body.startswith(b"{") else ActionInDoubt) as raised:
        await isolation.start(api, computer.guid, "case 77")
    assert "S3cretCode" not in str(raised.value)


@pytest.mark.parametrize("available", [True, False])
async def test_a_policy_may_forbid_it(api: CiscoApi, organisation: Organisation, available: bool) -> None:
    """OPTIONS is answered 204, or 405."""
    computer = organisation.responses.add_computer("desk-014", available=available)
    assert await isolation.may_start(api, computer.guid) is available


@pytest.mark.parametrize("body", [b"<html>Method not allowed</html>", b"OPTIONS is not allowed here\n"])
async def test_a_proxy_that_forbids_the_question_is_no_policy(
    api: CiscoApi, cloud: LocalCloud, computer: LocalComputer, body: bytes
) -> None:
    """405 of the cloud has no body, or JSON: a page is somebody else's."""
    cloud.fail(Failure("OPTIONS", status=405, body=body))
    with pytest.raises(CloudProxyRefused, match="405 to OPTIONS"):
        await isolation.may_start(api, computer.guid)
    cloud.fail(Failure("OPTIONS", status=405, body=b' {"errors": []}'))
    assert not await isolation.may_start(api, computer.guid)


async def test_a_lost_answer_about_the_policy_is_asked_for_again(
    api: CiscoApi, cloud: LocalCloud, computer: LocalComputer
) -> None:
    """Nothing can have been done: there is no doubt."""
    cloud.fail(Failure("OPTIONS", silent=True, times=2))
    assert await isolation.may_start(api, computer.guid)
    assert [method for method, _ in cloud.requests] == ["OPTIONS"] * 3


async def test_a_refusal_beside_an_unlock_code_is_seen(
    api: CiscoApi, cloud: LocalCloud, computer: LocalComputer
) -> None:
    """Hiding a code that is a number leaves no JSON: it is read before."""
    cloud.fail(Failure("PUT", status=200, body=b'{"data": {}, "errors": ["no"], "unlock_code": 123456}'))
    with pytest.raises(CloudRefused) as raised:
        await isolation.start(api, computer.guid, "case 77")
    assert "123456" not in str(raised.value)


async def test_an_unknown_computer_is_told_as_such(api: CiscoApi, computer: LocalComputer) -> None:
    """404 of a computer is no wrong host."""
    with pytest.raises(ComputerNotFound):
        await isolation.status(api, UNKNOWN)
    with pytest.raises(ComputerNotFound):
        await isolation.may_start(api, UNKNOWN)


@pytest.mark.parametrize("failure", [Failure("PUT", works=True, silent=True), Failure("PUT", status=502)])
async def test_what_may_have_been_done_is_not_repeated(
    api: CiscoApi, cloud: LocalCloud, computer: LocalComputer, failure: Failure
) -> None:
    """A lost answer is told; the cloud was asked once."""
    cloud.fail(failure)
    with pytest.raises(ActionInDoubt):
        await isolation.start(api, computer.guid, "case 77")
    assert [method for method, _ in cloud.requests] == ["PUT"]


@pytest.mark.parametrize(
    ("item", "status"), [({}, "unknown"), ({"status": 7}, "unknown"), ({"status": "on the moon"}, "on the moon")]
)
def test_other_states_are_passed_on(item: dict[str, object], status: str) -> None:
    """What the cloud says besides is no error."""
    assert isolation.isolation(item).status == status
