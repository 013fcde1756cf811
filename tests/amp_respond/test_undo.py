"""`amp-respond undo`: it takes back what an entry did, nothing else, and tells its errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.admin.session import Session
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, LocalList, Responses
from tests.amp_respond.conftest import SHA256, YES, Run, told, turned_away


@pytest.mark.parametrize(("kind", "other"), [("isolate", "release"), ("block", "unblock"), ("move", "move")])
def test_what_was_done_is_undone(
    run: Run, computer: LocalComputer, responses: Responses, journal: Path, kind: str, other: str
) -> None:
    """The inverse is done, and is an entry of its own that names the first."""
    soc = responses.add_list("SOC list")
    group = computer.group_guid
    arguments = {
        "isolate": ["desk-014"],
        "block": [SHA256, "--list", "SOC list"],
        "move": ["desk-014", "--group", "Triage"],
    }[kind]
    run(kind, *arguments, *YES)
    assert (computer.status, list(soc.files), computer.group_guid) != ("not_isolated", [], group)
    entry = told(journal)[0]["entry"]
    run("undo", entry, "--yes")
    assert (computer.status, list(soc.files), computer.group_guid) == ("not_isolated", [], group)
    undone = next(line for line in told(journal) if line.get("undoes") == entry)
    assert (undone["action"], undone["reason"]) == (other, f"undo of {entry}: case 77")


def test_what_was_so_already_is_success_and_not_undone(run: Run, computer: LocalComputer, journal: Path) -> None:
    """409 is no error; but to undo it would undo what somebody else did."""
    computer.status = "isolated"
    assert "already" in run("isolate", "desk-014", *YES).stdout
    result = run("undo", told(journal)[0]["entry"], "--yes", code=77)
    assert "respond.nothing-to-undo" in result.stderr
    assert computer.status == "isolated"
    assert "respond.entry-unknown" in run("undo", "00000000", "--yes", code=2).stderr


def test_what_was_changed_again_since_is_not_undone(
    run: Run, computer: LocalComputer, responses: Responses, journal: Path
) -> None:
    """An old entry does not release who was isolated anew; the last one is undone, and so is its undo."""
    soc = responses.add_list("SOC list")
    for there, back, arguments in (
        ("isolate", "release", ["desk-014"]),
        ("block", "unblock", [SHA256, "--list", "SOC list"]),
    ):
        for kind in (there, back, there):
            run(kind, *arguments, *YES)
        first, second, third = [line["entry"] for line in told(journal) if line["phase"] == "asked"][-3:]
        for old in (first, second):
            assert f"by entry {third}" in run("undo", old, "--yes", code=77).stderr
        assert (computer.status, *soc.files) in [("isolated",), ("isolated", SHA256)]
        run("undo", third, "--yes")
        run("undo", told(journal)[-1]["entry"], "--yes")
    assert (computer.status, *soc.files) == ("isolated", SHA256)


@pytest.mark.parametrize("before", ["case 76, by bob", ""])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_file_goes_back_on_its_list_with_its_description(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, before: str, is_lost: bool
) -> None:
    """Where it had none, user and entry stand there.  It is ours, also after a lost answer, so it can be undone."""
    soc = responses.add_list("SOC list")
    soc.files[SHA256] = before
    run("unblock", SHA256, "--list", "SOC list", *YES)
    unblocked = told(journal)[0]
    assert (unblocked["description"], soc.files) == (before, {})
    if is_lost:
        cloud.fail(Failure("POST", works=True, silent=True))
    assert "done" in run("undo", unblocked["entry"], "--yes").stdout
    blocked = told(journal)[2]
    assert soc.files[SHA256].startswith(before or f"[{blocked['by']}, {blocked['entry']}] undo of")
    soc.files[SHA256] += ", and by a colleague since"
    code = 77 if before else 0  # a longer one may be what was written
    assert ("by somebody else now" in run("undo", blocked["entry"], "--yes", code=code).stderr) is bool(before)
    if before:
        soc.files[SHA256] = before
        run("undo", blocked["entry"], "--yes")
    assert soc.files == {}


def test_a_description_that_changes_while_it_waits_goes_back_as_it_was_last(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague writes another one while the rate limit is waited for: that is the one of before."""
    soc = responses.add_list("SOC list")
    soc.files[SHA256] = "case 76"
    limited = too_many_requests(120)
    limited.method = "DELETE"
    cloud.fail(limited)

    async def wait(*_: Any) -> None:
        soc.files[SHA256] = "case 78"

    monkeypatch.setattr(Screen, "wait", wait)
    run("unblock", SHA256, "--list", "SOC list", *YES)
    run("undo", told(journal)[0]["entry"], "--yes")
    assert soc.files == {SHA256: "case 78"}


def test_an_undo_empties_no_group_but_one_that_was_empty(
    run: Run, computer: LocalComputer, responses: Responses, organisation: Organisation, journal: Path
) -> None:
    """Back into a group that is empty by now is no trouble; out of one that had somebody before is."""
    other = next(one for one in responses.computers.values() if one is not computer)
    run("move", "desk-014", "srv-linux-1", "--group", "Triage", *YES, "--empty-group")
    first, second = [line["entry"] for line in told(journal) if line["phase"] == "asked"]
    assert [line.get("group_was_empty") for line in told(journal)[::2]] == [True, False]
    run("undo", first, "--yes")
    assert "respond.group-would-be-empty" in run("undo", second, "--yes", code=77).stderr
    assert [organisation.groups[one.group_guid] for one in (computer, other)] == ["Protect", "Triage"]
    run("move", "srv-linux-1", "--group", "Protect", *YES, "--empty-group")


def test_what_happens_while_the_rate_limit_is_waited_for_is_not_undone(
    run: Run,
    computer: LocalComputer,
    cloud: LocalCloud,
    while_it_waits: Callable[[Callable[[], object]], None],
    journal: Path,
) -> None:
    """A colleague released the computer and isolated it anew: that is nobody's to undo."""
    run("isolate", "desk-014", *YES)
    while_it_waits(lambda: setattr(computer, "comment", "case 99 [bob]"))
    cloud.fail(turned_away("DELETE"))
    result = run("undo", told(journal)[0]["entry"], "--yes", code=77)
    assert "respond.nothing-to-undo" in result.stderr
    assert computer.status == "isolated"
    assert told(journal)[-1]["outcome"] == "refused"


# --- the table of errors --------------------------------------------------------------------------


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


def test_the_same_client_id_is_the_same_organisation(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud, journal: Path, tmp_path: Path
) -> None:
    """One was named as a tenant, and the other by the environment; the cloud must be the same one."""
    (tmp_path / "key").write_text(organisation.api_key)
    fleet = tmp_path / "fleet.yml"
    key = f"client_id: {organisation.client_id}, api_key_file: key"
    fleet.write_text(f"tenants: [{{name: Acme, {key}, api_host: '{cloud.url}', streams: [{{name: SIEM}}]}}]")
    of_tenant = ("--fleet", str(fleet), "--tenant", "acme")
    for first, then in (((), of_tenant), (of_tenant, ())):
        run("isolate", "desk-014", *YES, *first)
        entry = [line["entry"] for line in told(journal) if line.get("action") == "isolate"][-1]
        run("undo", entry, "--yes", *then)
        assert computer.status == "not_isolated"


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
