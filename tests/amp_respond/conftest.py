"""The local cloud of the tests of `cisco`, with an organisation that has computers and lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.amp_respond import ready, waiting
from fluent_plugin_amp.amp_respond.cli import cli
from fluent_plugin_amp.cisco import api as api_module
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, LocalList, Responses
from tests.cisco.conftest import api, cloud, connect, no_proxy_around, organisation, waits

__all__ = ["api", "cloud", "connect", "no_proxy_around", "organisation", "waits"]

SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"
Run = Callable[..., Result]
WHY = ("--reason", "case 77")
YES = (*WHY, "--yes")
COMMANDS = {
    "isolate": (["desk-014"], "PUT", "/v1/computers/"),
    "release": (["desk-014"], "DELETE", "/v1/computers/"),
    "block": ([SHA256, "--list", "SOC list"], "POST", "/v1/file_lists/"),
    "unblock": ([SHA256, "--list", "SOC list"], "DELETE", "/v1/file_lists/"),
    "move": (["desk-014", "--group", "Triage"], "PATCH", "/v1/computers/"),
}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "state" / "journal.ndjson"


@pytest.fixture
def responses(organisation: Organisation) -> Responses:
    """What there is to respond with: nothing yet."""
    return organisation.responses


@pytest.fixture
def computer(responses: Responses) -> LocalComputer:
    """One computer, and another that keeps its group from being empty."""
    responses.add_computer("srv-linux-1")
    return responses.add_computer("desk-014")


@pytest.fixture
def soc(responses: Responses) -> LocalList:
    """A list for blocking."""
    return responses.add_list("SOC list", "simple_custom_detections", "Protect")


@pytest.fixture(autouse=True)
def around(
    no_proxy_around: None,
    monkeypatch: pytest.MonkeyPatch,
    cloud: LocalCloud,
    organisation: Organisation,
    journal: Path,
) -> None:
    """The environment of an operator, and no waiting."""
    monkeypatch.setenv("AMP_CLIENT_ID", organisation.client_id)
    monkeypatch.setenv("AMP_API_KEY", organisation.api_key)
    monkeypatch.setenv("AMP_API_HOST", cloud.url)
    monkeypatch.setenv("AMP_RESPOND_JOURNAL", str(journal))
    monkeypatch.setattr(api_module, "backoff_s", lambda *arguments, **options: 0.0)
    monkeypatch.setattr(waiting, "FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(waiting, "LOOK_S", 0.0)


@pytest.fixture
def run(organisation: Organisation, responses: Responses, journal: Path) -> Run:
    """``run("isolate", "desk-014", …)``; neither what it says nor the journal holds the key or an unlock code."""

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, ["--debug", *arguments], input=stdin)
        said = f"{result.stdout}\n--- stderr\n{result.stderr}"
        assert result.exit_code == code, said
        written = journal.read_text() if journal.exists() else ""
        for secret in (organisation.api_key, *(one.unlock_code for one in responses.computers.values())):
            assert secret not in said + written
        return result

    return run


def told(journal: Path) -> list[dict[str, Any]]:
    """The lines of the journal."""
    return [json.loads(line) for line in journal.read_text().splitlines()]


@pytest.fixture(params=COMMANDS)
def kind(request: pytest.FixtureRequest, computer: LocalComputer, responses: Responses) -> str:
    """A command that has something to do."""
    soc = responses.add_list("SOC list")
    if request.param == "release":
        computer.status = "isolated"
    if request.param == "unblock":
        soc.files[SHA256] = ""
    return str(request.param)


def changes(cloud: LocalCloud) -> list[str]:
    """The methods of the requests that change something."""
    return [method for method, _ in cloud.requests if method not in ("GET", "OPTIONS")]


@pytest.fixture
def at_the_prompt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``at_the_prompt(happens)``: that happens while the next prompt waits, and then it is agreed to."""

    def at_the_prompt(happens: Callable[[], object]) -> None:
        monkeypatch.setattr(Session, "confirm", lambda *arguments, **options: happens())

    return at_the_prompt


@pytest.fixture
def while_it_waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """``while_it_waits(happens)``: that happens during each pause for the rate limit, which is over at once."""
    now_s = 0.0

    def while_it_waits(happens: Callable[[], object]) -> None:
        async def wait(self: Screen, seconds: float, why: str) -> None:
            nonlocal now_s
            now_s += seconds
            happens()

        monkeypatch.setattr(Screen, "wait", wait)
        monkeypatch.setattr(ready, "seconds", lambda: now_s)

    return while_it_waits


def group_of(organisation: Organisation, name: str) -> str:
    """The GUID of a group."""
    return next(guid for guid, called in organisation.groups.items() if called == name)


def turned_away(method: str, path: str = "/v1/") -> Failure:
    """A 429 to such a request; the limit starts anew in two minutes."""
    failure = too_many_requests(120)
    failure.method, failure.path = method, path
    return failure
