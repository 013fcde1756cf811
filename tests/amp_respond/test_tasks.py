"""The table of errors of the commands that only look, against the local cloud within this process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, LocalList, Responses
from tests.amp_respond.conftest import SHA256, YES, Run

NOBODY = "00000000-0000-4000-8000-000000000000"

LOOKING = {
    "status": ["desk-014", "--json"],
    "hunt": [SHA256, "--executed", "--json"],
    "lists": ["--files", "--json"],
    "vulnerable": ["--computer", "desk-014", "--json"],
}
"""The commands that ask the cloud and change nothing."""


# --- status, hunt, lists, vulnerable -------------------------------------------------------------


@pytest.fixture(params=LOOKING)
def looking(
    request: pytest.FixtureRequest, computer: LocalComputer, soc: LocalList, responses: Responses
) -> list[str]:
    """One of them, with something to show."""
    soc.files[SHA256] = "case 76"
    responses.see(SHA256, computer, executed=True)
    responses.vulnerabilities.append(
        {
            "application": "Java",
            "version": "1.7.0",
            "file": {"identity": {"sha256": SHA256}},
            "cves": [{"id": "CVE-2013-0422", "cvss": 10}],
            "computers_total_count": 1,
            "computers": [{"connector_guid": computer.guid, "hostname": computer.hostname}],
        }
    )
    return [request.param, *LOOKING[request.param]]


def asked(cloud: LocalCloud) -> set[str]:
    """The methods of the requests so far."""
    return {method for method, _ in cloud.requests}


@pytest.mark.parametrize("how", ["read-only key", "429", "answer lost", "503"])
def test_what_is_looked_at_is_shown_all_the_same(
    run: Run, looking: list[str], cloud: LocalCloud, organisation: Organisation, journal: Path, how: str
) -> None:
    """A key that may only read is enough; a limit is waited out; a lost answer is asked for again, each request."""
    shown = run(*looking).stdout
    assert "desk-014" in shown or SHA256 in shown
    organisation.read_only = how == "read-only key"
    for path in dict.fromkeys(path for _, path in cloud.requests):
        if how != "read-only key":
            failure = {
                "429": too_many_requests(0),
                "answer lost": Failure(works=True, silent=True),
                "503": Failure(status=503),
            }[how]
            cloud.fail(replace(failure, path=path))
    assert run(*looking).stdout == shown
    assert asked(cloud) == {"GET"}
    assert not journal.exists()


@pytest.mark.parametrize(
    ("failure", "code", "error"),
    [
        (too_many_requests(600, times=99), 69, "cloud.rate-limited"),
        (Failure(works=True, silent=True, times=99), 69, "cloud.unreachable"),
        (Failure(status=503, times=99), 69, "cloud.server-error"),
        (Failure(status=401, times=99), 77, "cloud.credentials-refused"),
        (Failure(status=403, times=99), 77, "cloud.credentials-refused"),
        (Failure(status=200, body=b"<html>", times=99), 69, "cloud.answer-not-understood"),
    ],
    ids=["429", "answer lost", "503", "401", "403", "web page"],
)
def test_what_cannot_be_looked_at_is_told(
    run: Run, looking: list[str], cloud: LocalCloud, failure: Failure, code: int, error: str
) -> None:
    """By the error's id and exit code; nothing is shown as if it were all there is."""
    cloud.fail(replace(failure))
    result = run(*looking, "--max-wait", "1s", code=code)
    assert error in result.stderr
    assert result.stdout == ""
    assert asked(cloud) == {"GET"}


def test_an_offline_computer_that_may_not_be_isolated_is_shown(
    run: Run, looking: list[str], computer: LocalComputer
) -> None:
    """Neither is an error of a command that looks; `status` says both."""
    computer.offline, computer.available, computer.status = True, False, "pending_start"
    for _ in range(2):
        shown = json.loads(run(*looking).stdout)
        if looking[0] == "status":
            assert (shown["isolation"], shown["isolation_available"]) == ("pending_start", False)


@pytest.mark.parametrize("name", ["desk-01", NOBODY])
def test_an_unknown_computer_is_told(run: Run, computer: LocalComputer, responses: Responses, name: str) -> None:
    """A part of a name, and a GUID that nobody has; a hunt names none."""
    for arguments in (["status", name], ["vulnerable", "--computer", name]):
        result = run(*arguments, "--json", code=77)
        assert "cloud.computer-not-found" in result.stderr
        assert result.stdout == ""


# --- journal -------------------------------------------------------------------------------------


def test_the_journal_is_shown_without_cloud_and_key(
    run: Run, computer: LocalComputer, cloud: LocalCloud, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became of each action, refused ones too; nothing of the table can stop it, as nobody is asked."""
    organisation.read_only = True
    run("isolate", "desk-014", *YES, code=77)
    organisation.read_only = False
    cloud.fail(Failure("PUT", status=429, headers={"X-Rate-Limit-Reset": "600"}))
    run("isolate", "desk-014", *YES, "--max-wait", "1s", code=69)
    cloud.fail(Failure("PUT", works=True, silent=True))
    run("isolate", "desk-014", *YES, "--wait", "0s")
    computer.offline = True
    run("release", "desk-014", *YES, "--wait", "0s")
    for name in ("AMP_CLIENT_ID", "AMP_API_KEY", "AMP_API_HOST"):
        monkeypatch.delenv(name)
    cloud.requests.clear()
    shown = json.loads(run("journal", "--json").stdout)
    assert [(one["outcome"], one.get("error", {}).get("id")) for one in shown] == [
        ("refused", "cloud.read-only-key"),
        ("not done", "cloud.rate-limited"),
        ("done", None),
        ("done", None),
    ]
    assert shown[2]["looked_up"] is True
    assert run("journal").stdout.count("case 77") == 4
    assert cloud.requests == []


def test_status_tells_what_is_known(run: Run, computer: LocalComputer) -> None:
    """Isolation, group, policy, last seen."""
    shown = run("status", "desk-014").stdout
    assert all(word in shown for word in ("not_isolated", "Protect", computer.guid, "2026-03-02"))
    assert json.loads(run("status", "desk-014", "--json").stdout)["group"] == "Protect"
