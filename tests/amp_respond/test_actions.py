"""What becomes of one action, whatever the cloud answers, or somebody in between: the journal is true."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.amp_respond import doing
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.transport import HttpAnswer
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, error_body, too_many_requests, web_page
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import COMMANDS, SHA256, YES, Run, changes, told


def is_done(kind: str, computer: LocalComputer, responses: Responses) -> bool:
    """The cloud has done it."""
    soc = next(iter(responses.lists.values()))
    return {
        "isolate": computer.status in ("pending_start", "isolated"),
        "release": computer.status in ("pending_stop", "not_isolated"),
        "block": SHA256 in soc.files,
        "unblock": SHA256 not in soc.files,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("isolate", 409, "isolation-conflict"),
        ("release", 404, "refused"),
        ("block", 409, "refused"),
        ("unblock", 404, "refused"),
    ],
    indirect=["kind"],
)
def test_a_refusal_for_another_reason_is_no_success(
    run: Run,
    kind: str,
    status: int,
    error: str,
    computer: LocalComputer,
    responses: Responses,
    cloud: LocalCloud,
    journal: Path,
) -> None:
    """409 can say that a description is too long, and 404 can be a gateway's: a look tells that it is not so."""
    arguments, method, path = COMMANDS[kind]
    words = error_body(status, "No", "Validation failed: Description is too long")
    cloud.fail(Failure(method, path, status=status, body=words))
    said = run(kind, *arguments, *YES, code=77).stderr
    assert f"error [cloud.{error}]" in said
    assert "Description is too long" in said
    assert told(journal)[1]["outcome"] == "refused"
    assert not is_done(kind, computer, responses)


@pytest.mark.parametrize("kind", ["isolate", "release", "block", "unblock"], indirect=True)
def test_somebody_who_was_faster_is_success(
    run: Run,
    kind: str,
    computer: LocalComputer,
    responses: Responses,
    cloud: LocalCloud,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A colleague does it right before the request: 409 or 404, and a look shows that it is so."""
    act, soc = CiscoApi.act, next(iter(responses.lists.values()))

    async def act_late(self: CiscoApi, *others: Any) -> HttpAnswer:
        computer.status = {"isolate": "isolated", "release": "not_isolated"}.get(kind, computer.status)
        soc.files = {SHA256: "by somebody else"} if kind == "block" else {}
        return await act(self, *others)

    monkeypatch.setattr(CiscoApi, "act", act_late)
    arguments, method, _ = COMMANDS[kind]
    run(kind, *arguments, *YES)
    assert (told(journal)[1]["outcome"], changes(cloud)) == ("already", [method])


# --- answers that are lost, or are none ----------------------------------------------------------


def test_a_page_of_a_proxy_is_no_success(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """It says 200, and the cloud never heard of it: a look shows that, and it is asked once more."""
    arguments, method, path = COMMANDS[kind]
    page = web_page(200, "Uploads are blocked by company policy")
    page.method, page.path = method, path
    cloud.fail(page)
    run(kind, *arguments, *YES)
    assert changes(cloud) == [method] * 2
    assert told(journal)[1].get("looked_up") is None
    assert told(journal)[1]["outcome"] == "done"


def test_a_page_that_stays_leaves_a_doubt(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """Nothing shows that it was done."""
    arguments, method, path = COMMANDS[kind]
    page = web_page(200, "Uploads are blocked by company policy", times=9)
    page.method, page.path = method, path
    cloud.fail(page)
    assert "a web page (HTML) instead of JSON" in run(kind, *arguments, *YES, code=69).stderr
    assert told(journal)[1]["outcome"] == "in doubt"


@pytest.mark.parametrize("status", [302, 403, 404, 409])
@pytest.mark.parametrize("kind", ["isolate", "block"], indirect=True)
def test_a_page_of_a_proxy_is_no_refusal(run: Run, kind: str, cloud: LocalCloud, journal: Path, status: int) -> None:
    """The cloud did it, and the proxy hides its answer: a look shows that, and it is asked once."""
    arguments, method, path = COMMANDS[kind]
    page = web_page(status, "Blocked")
    page.method, page.path, page.works = method, path, True
    cloud.fail(page)
    run(kind, *arguments, *YES)
    assert changes(cloud) == [method]
    assert (told(journal)[1]["outcome"], told(journal)[1]["looked_up"]) == ("done", True)


@pytest.mark.parametrize("kind", ["isolate"], indirect=True)
def test_a_page_that_refuses_each_time_is_told_as_the_proxys(
    run: Run, kind: str, cloud: LocalCloud, journal: Path
) -> None:
    """It is asked once more, as nothing was done; no other key would help."""
    page = web_page(403, "Blocked", times=9)
    page.method = "PUT"
    cloud.fail(page)
    said = run(kind, "desk-014", *YES, code=69).stderr
    assert "a proxy on the way answered 403" in said
    assert "Read & Write" not in said
    assert changes(cloud) == ["PUT"] * 2
    assert told(journal)[1]["outcome"] == "in doubt"


def test_an_empty_answer_is_looked_up(run: Run, kind: str, cloud: LocalCloud, journal: Path) -> None:
    """204 of a cloud that did it: it is asked once."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=204, works=True))
    run(kind, *arguments, *YES)
    assert changes(cloud) == [method]
    assert (told(journal)[1]["outcome"], told(journal)[1]["looked_up"]) == ("done", True)


@pytest.mark.parametrize("is_done", [True, False])
def test_what_a_gateway_did_not_wait_for_is_looked_up_and_not_asked_again(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, is_done: bool
) -> None:
    """504: the cloud may still be at it, so a second request could meet the first."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=504, works=is_done))
    run(kind, *arguments, *YES, code=0 if is_done else 69)
    assert changes(cloud) == [method]
    assert told(journal)[1]["outcome"] == ("done" if is_done else "in doubt")


@pytest.mark.parametrize("is_done", [True, False])
def test_a_refusal_of_the_second_try_does_not_deny_the_first(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, is_done: bool
) -> None:
    """The cloud was slow with the first one: it is done when the second one is refused, or later."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=502))
    cloud.fail(Failure(method, path, status=400, works=is_done, body=error_body(400, "No", "try later")))
    run(kind, *arguments, *YES, code=0 if is_done else 69)
    assert changes(cloud) == [method] * 2
    assert told(journal)[1]["outcome"] == ("done" if is_done else "in doubt")
    assert told(journal)[1].get("looked_up") is (True if is_done else None)


@pytest.mark.parametrize("is_done", [True, False])
def test_an_interrupt_of_the_second_try_does_not_deny_the_first(
    run: Run, kind: str, cloud: LocalCloud, journal: Path, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """Ctrl-C while the rate limit holds up the second one: the journal does not say that nothing was done."""
    arguments, method, path = COMMANDS[kind]
    cloud.fail(Failure(method, path, status=502))
    turned_away = too_many_requests(120)
    turned_away.method, turned_away.path, turned_away.works = method, path, is_done
    cloud.fail(turned_away)
    wait = Screen.wait

    async def interrupted(self: Screen, seconds: float, why: str) -> None:
        signal.raise_signal(signal.SIGINT)
        await wait(self, seconds, why)

    monkeypatch.setattr(Screen, "wait", interrupted)
    assert "error [interrupted]" in run(kind, *arguments, *YES, code=130).stderr
    assert changes(cloud) == [method] * 2
    assert told(journal)[1]["outcome"] == ("done" if is_done else "in doubt")


@pytest.mark.parametrize("kind", ["block"], indirect=True)
@pytest.mark.parametrize(("hidden", "outcome"), [(2, "done"), (3, "done"), (9, "in doubt")])
def test_what_the_list_shows_late_is_ones_own(
    run: Run,
    kind: str,
    cloud: LocalCloud,
    responses: Responses,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    hidden: int,
    outcome: str,
) -> None:
    """The first try did it, its answer was lost, and the list lacks the file for some looks: 409 to the second."""
    arguments, method, path = COMMANDS[kind]
    soc = next(iter(responses.lists.values()))
    empty = b'{"version": "v1.2.0", "metadata": {"results": {"total": 0}}, "data": {"items": []}}'
    files = Failure("GET", f"/v1/file_lists/{soc.guid}/files", times=0, status=200, body=empty)
    cloud.fail(files)
    cloud.fail(Failure(method, path, works=True, silent=True))
    act = CiscoApi.act

    async def act_and_hide(self: CiscoApi, *others: Any) -> HttpAnswer:
        if not changes(cloud):
            files.times = hidden
        return await act(self, *others)

    monkeypatch.setattr(CiscoApi, "act", act_and_hide)
    run(kind, *arguments, *YES, code=0 if outcome == "done" else 69)
    assert changes(cloud) == [method] * 2
    assert told(journal)[1]["outcome"] == outcome


# --- whose comment it is -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["isolate", "release", "block"], indirect=True)
def test_a_comment_that_the_cloud_cuts_is_ones_own(
    run: Run,
    kind: str,
    computer: LocalComputer,
    cloud: LocalCloud,
    responses: Responses,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is left of a long reason: the signature stands first, so a lost answer is looked up, and undone."""
    arguments, method, path = COMMANDS[kind]
    soc, act = next(iter(responses.lists.values())), CiscoApi.act

    async def act_and_cut(self: CiscoApi, *others: Any) -> HttpAnswer:
        try:
            return await act(self, *others)
        finally:
            soc.files = {sha256: comment[:60] for sha256, comment in soc.files.items()}
            computer.comment = (computer.comment or "")[:60]

    monkeypatch.setattr(CiscoApi, "act", act_and_cut)
    monkeypatch.setattr(doing, "who", lambda environ: "ada@soc1")
    cloud.fail(Failure(method, path, works=True, silent=True))
    run(kind, *arguments, "--reason", "y" * 200, "--yes")
    asked, answered = told(journal)[:2]
    assert (answered["outcome"], answered["looked_up"]) == ("done", True)
    run("undo", asked["entry"], "--yes")
    assert not is_done(kind, computer, responses)


def test_a_comment_is_no_longer_than_the_cloud_may_keep(
    run: Run, computer: LocalComputer, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest reason, of a user with a long name: the comment has its beginning, the journal all of it."""
    by = "ada as root@" + "h" * 64
    monkeypatch.setattr(doing, "who", lambda environ: by)
    run("isolate", "desk-014", "--reason", "y" * 200, "--yes")
    asked = told(journal)[0]
    assert asked["reason"] == "y" * 200
    assert len(computer.comment or "") == 255
    assert (computer.comment or "").startswith(f"[{by}, {asked['entry']}] yyy")


# --- what is on the way --------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["action", "look"])
def test_a_refusal_of_a_proxy_is_not_the_clouds(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, when: str
) -> None:
    """407: the cloud refused nothing, and the proxy would say the same of the next computer: that ends it."""
    for name in ("desk-014", "desk-015"):
        responses.add_computer(name)
    looks = Failure("GET", f"/v1/computers/{next(iter(responses.computers))}/isolation", status=407)
    cloud.fail(looks if when == "look" else Failure("PUT", status=407, body=b"proxy"))
    result = run("isolate", "desk-014", "desk-015", *YES, "--json", code=77)
    assert [one["outcome"] for one in json.loads(result.stdout)] == ["not done", "not tried"]
    assert "error [cloud.proxy-refused]" in result.stderr
    assert changes(cloud) == (["PUT"] if when == "action" else [])
    assert [line.get("outcome") for line in told(journal)] == ([None, "not done"] if when == "action" else [])
