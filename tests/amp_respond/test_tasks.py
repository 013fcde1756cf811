"""The table of errors of the commands that only look, and of `undo`, against the local cloud within this process."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, LocalList, Responses
from tests.amp_respond.conftest import SHA256, Run, told

YES = ("--reason", "case 77", "--yes")
NOBODY = "00000000-0000-4000-8000-000000000000"

LOOKING = {
    "status": ["desk-014", "--json"],
    "hunt": [SHA256, "--executed", "--json"],
    "lists": ["--files", "--json"],
    "vulnerable": ["--computer", "desk-014", "--json"],
}
"""The commands that ask the cloud and change nothing."""


@pytest.fixture
def soc(responses: Responses) -> LocalList:
    """A list for blocking."""
    return responses.add_list("SOC list", "simple_custom_detections", "Protect")


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


# --- undo ----------------------------------------------------------------------------------------

UNDONE = {
    "isolate": ("DELETE", "/v1/computers/"),
    "release": ("PUT", "/v1/computers/"),
    "block": ("DELETE", "/v1/file_lists/"),
    "unblock": ("POST", "/v1/file_lists/"),
    "move": ("PATCH", "/v1/computers/"),
}
"""The request by which each is taken back."""


class Undo:
    """An entry that can be undone, and whether it was."""

    def __init__(self, run: Run, kind: str, computer: LocalComputer, soc: LocalList, journal: Path) -> None:
        self.kind, self.request = kind, UNDONE[kind]
        self._run, self._computer, self._soc, self._journal = run, computer, soc, journal
        if kind == "release":
            computer.status = "isolated"
        if kind == "unblock":
            soc.files[SHA256] = ""
        self._before = self._state()
        on_list = [SHA256, "--list", "SOC list"]
        arguments = {"block": on_list, "unblock": on_list, "move": ["desk-014", "--group", "Triage"]}
        run(kind, *arguments.get(kind, ["desk-014"]), *YES)
        self._after = self._state()
        self.entry = told(journal)[0]["entry"]
        self._lines = len(told(journal))

    def __call__(self, *options: str, code: int = 0) -> str:
        """Undo it; what was said as an error."""
        return self._run("undo", self.entry, "--yes", "--max-wait", "1s", *options, code=code).stderr

    @property
    def is_as_before(self) -> bool:
        """What the entry did is undone; otherwise nothing is changed."""
        assert self._state() in (self._before, self._after)
        return self._state() == self._before

    @property
    def written(self) -> list[tuple[str | None, str | None]]:
        """What the journal has of it: which entry it undoes, and what became of that."""
        lines = [line for line in told(self._journal)[self._lines :] if line["phase"] != "seen"]
        return [(line.get("undoes"), line.get("outcome")) for line in lines]

    def outcome(self, told: str) -> list[tuple[str | None, str | None]]:
        """`written` of one undo of this outcome."""
        return [(self.entry, None), (None, told)]

    def _state(self) -> tuple[str, list[str], str]:
        return self._computer.status, list(self._soc.files), self._computer.group_guid


@pytest.fixture(params=UNDONE)
def undo(request: pytest.FixtureRequest, run: Run, computer: LocalComputer, soc: LocalList, journal: Path) -> Undo:
    """Of each kind of action."""
    return Undo(run, request.param, computer, soc, journal)


def test_a_read_only_key_undoes_nothing(undo: Undo, organisation: Organisation) -> None:
    """It is told and written down as refused; a key that may then undoes the same entry."""
    organisation.read_only = True
    assert "cloud.read-only-key" in undo(code=77)
    assert undo.written == undo.outcome("refused")
    assert not undo.is_as_before
    organisation.read_only = False
    undo()
    assert undo.is_as_before


def test_what_is_gone_is_not_undone(
    undo: Undo, responses: Responses, computer: LocalComputer, soc: LocalList
) -> None:
    """The computer was removed, or the list: it is told before anything is written."""
    del responses.computers[computer.guid]
    del responses.lists[soc.guid]
    listed = undo.kind in ("block", "unblock")
    assert f"cloud.{'list' if listed else 'computer'}-not-found" in undo(code=77)
    assert undo.written == []


def test_what_only_has_the_name_of_the_guid_is_not_undone(
    undo: Undo, responses: Responses, soc: LocalList, organisation: Organisation
) -> None:
    """The list or group of the entry is gone, or of another type, and another is called like its GUID."""
    if undo.kind in ("block", "unblock"):
        del responses.lists[soc.guid]
        responses.add_list(soc.guid).files.update(soc.files)
        assert "cloud.list-not-found" in undo(code=77)
        responses.lists[soc.guid] = LocalList(soc.guid, "SOC list", "application_blocking", files=soc.files)
        assert "cloud.list-wrong-type" in undo(code=77)
    elif undo.kind == "move":
        protect = next(guid for guid, name in organisation.groups.items() if name == "Protect")
        for computer in responses.computers.values():
            computer.group_guid = next(guid for guid, name in organisation.groups.items() if name == "Triage")
        del organisation.groups[protect]
        organisation.groups["6a5f008f-9240-4c59-b73a-982517dc3824"] = protect
        assert "name.unknown" in undo(code=2)
    assert undo.written == []
    assert not undo.is_as_before


def test_a_list_or_group_that_has_another_name_by_now_is_left_alone(
    undo: Undo, soc: LocalList, organisation: Organisation
) -> None:
    """It may be for something else by now.  Another case is the same name."""
    is_named = undo.kind in ("block", "unblock", "move")
    protect = next(guid for guid, name in organisation.groups.items() if name == "Protect")
    if is_named:
        soc.name, organisation.groups[protect] = "Finance exceptions", "Retired"
        assert "respond.changed-meanwhile" in undo(code=77)
        assert not undo.is_as_before
    soc.name, organisation.groups[protect] = "soc LIST", "PROTECT"
    undo()
    assert undo.is_as_before


def test_the_undo_of_an_offline_computer_stays_pending(undo: Undo, computer: LocalComputer) -> None:
    """An isolation or release waits for it, which the exit code says; lists and groups are the cloud's own."""
    computer.offline = True
    pending = undo.kind in ("isolate", "release")
    said = undo("--wait", "0.05s", code=1 if pending else 0)
    assert ("1 pending" in said) is pending
    assert undo.written == undo.outcome("done")
    assert computer.status.startswith("pending") is pending


def test_a_policy_that_forbids_isolation_forbids_the_undo_of_a_release(undo: Undo, computer: LocalComputer) -> None:
    """It is asked first; all else can be undone, the end of an isolation above all."""
    computer.available = False
    if undo.kind == "release":
        said = undo(code=77)
        assert "[cloud.isolation-forbidden]: the policy Protect of desk-014 forbids it\n" in said
        assert undo.written == []
    else:
        undo()
    assert undo.is_as_before is (undo.kind != "release")


def test_the_rate_limit_is_told_and_the_entry_undone_later(undo: Undo, cloud: LocalCloud) -> None:
    """Nothing was undone then, which is what the journal says; a short limit is waited out."""
    for reset_s in (600, 0):
        failure = too_many_requests(reset_s)
        failure.method, failure.path = undo.request
        cloud.fail(failure)
    assert "cloud.rate-limited" in undo(code=69)
    assert undo.written == undo.outcome("not done")
    assert not undo.is_as_before
    undo()
    assert undo.is_as_before


@pytest.mark.parametrize("works", [True, False])
def test_a_lost_answer_to_an_undo_is_looked_up(undo: Undo, cloud: LocalCloud, journal: Path, works: bool) -> None:
    """Where it was done it is not asked again; where nothing was done it is."""
    method, path = undo.request
    cloud.fail(Failure(method, path, works=works, silent=True))
    before = len(cloud.requests)
    undo()
    assert undo.is_as_before
    assert undo.written == undo.outcome("done")
    assert [one for one, _ in cloud.requests[before:]].count(method) == (1 if works else 2)


def test_an_undo_in_doubt_is_told_and_can_be_repeated(undo: Undo, cloud: LocalCloud) -> None:
    """No answer ever, and nothing shows that it was done."""
    method, path = undo.request
    silent = cloud.fail(Failure(method, path, silent=True, times=99))
    assert "cloud.action-in-doubt" in undo(code=69)
    assert undo.written == undo.outcome("in doubt")
    silent.times = 0
    undo()
    assert undo.is_as_before


def test_another_key_undoes_nothing(
    undo: Undo, cloud: LocalCloud, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of another organisation of the same cloud; the journal has no key and no client id."""
    other = cloud.add_organisation()
    other.responses, other.groups = organisation.responses, organisation.groups
    monkeypatch.setenv("AMP_CLIENT_ID", other.client_id)
    monkeypatch.setenv("AMP_API_KEY", other.api_key)
    assert "another API key" in undo(code=77)
    assert undo.written == []
    assert not undo.is_as_before


def test_a_computer_that_has_another_name_by_now_is_left_alone(undo: Undo, computer: LocalComputer) -> None:
    """The connector was cloned, or the computer is somebody else's; a list of files has nothing to do with it."""
    computer.hostname = "finance-01"
    listed = undo.kind in ("block", "unblock")
    assert ("is called 'finance-01' now" in undo(code=0 if listed else 77)) is not listed
    assert undo.is_as_before is listed


@pytest.mark.parametrize("outcome", ["unknown", "in doubt"])
def test_what_may_have_been_changed_again_is_not_undone(undo: Undo, journal: Path, outcome: str) -> None:
    """By an entry that nobody knows the end of."""
    asked = {**told(journal)[0], "entry": "00c0ffee0000"}
    lines = [asked, {"entry": "00c0ffee0000", "phase": "answered", "outcome": outcome}]
    with journal.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines[: 1 if outcome == "unknown" else 2])
    assert "changed again, perhaps, at" in undo(code=77)
    assert not undo.is_as_before


@pytest.mark.parametrize("comment", ["by a colleague", "", "again, see {entry} [eve@soc2, 00c0ffee0000]"])
def test_what_a_colleague_did_since_is_not_undone(
    undo: Undo, computer: LocalComputer, soc: LocalList, comment: str
) -> None:
    """It is as the entry wanted it, but by somebody else: the opposite in the console, and then the same anew.

    To name the entry is not to have signed it.
    """
    comment = comment.format(entry=undo.entry)
    computer.comment = comment
    soc.files = dict.fromkeys(soc.files, comment)
    refused = undo.kind in ("isolate", "release", "block")
    assert ("by somebody else now" in undo(code=77 if refused else 0)) is refused
    assert undo.is_as_before is not refused


def test_what_happens_while_the_prompt_waits_is_not_undone(
    undo: Undo, run: Run, computer: LocalComputer, soc: LocalList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague does it anew, or another undoes the same entry: all is asked again right before the request."""
    if undo.kind in ("isolate", "block"):

        def happens(*arguments: object, **options: object) -> None:
            computer.comment = "by a colleague"
            soc.files = dict.fromkeys(soc.files, "by a colleague")
    else:

        def happens(*arguments: object, **options: object) -> None:
            run("undo", undo.entry, "--yes")
            run("undo", told(Path(os.environ["AMP_RESPOND_JOURNAL"]))[-1]["entry"], "--yes")

    monkeypatch.setattr(Session, "confirm", happens)
    assert "respond.nothing-to-undo" in run("undo", undo.entry, code=77).stderr
    assert not undo.is_as_before
