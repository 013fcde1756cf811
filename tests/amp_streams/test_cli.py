"""`amp-streams` against the local cloud, within this process: what it does, says, and ends with."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from fluent_plugin_amp.amp_streams.cli import cli
from fluent_plugin_amp.cisco import api as api_module
from fluent_plugin_amp.cisco.credentials import Reservation
from fluent_plugin_amp.commands.queue_depth import Brokers
from fluent_plugin_amp.config import load
from fluent_plugin_amp.testing.certificates import make_certificates, server_context
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, error_body, lost_answer, too_many_requests, web_page
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import clean_environment

CLIENT_ID, KEY = "3rdparty0123456789ab", "hunter2-0123456789-hunter2"
DETECTED, QUARANTINED = 1090519054, 553648143
AUDIT = "b077d6bc-bbdf-42f7-8838-a06053fbd98a"


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """The customer whose key is in the environment."""
    return cloud.add_organisation(CLIENT_ID, KEY)


@pytest.fixture(autouse=True)
def around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: LocalCloud, organisation: Organisation) -> None:
    """The environment of an operator, a folder to work in, and no waiting between tries."""
    clean_environment(monkeypatch)
    monkeypatch.setenv("AMP_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AMP_API_KEY", KEY)
    monkeypatch.setenv("AMP_API_HOST", cloud.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api_module, "backoff_s", lambda *arguments, **options: 0.0)


Run = Callable[..., Result]


@pytest.fixture
def run(organisation: Organisation) -> Run:
    """``run("list", "--json")``; whatever it says, no secret is in it."""

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, ["--debug", *arguments], input=stdin)
        said = f"{result.stdout}\n--- stderr\n{result.stderr}"
        assert result.exit_code == code, said
        for secret in (KEY, *(stream.password for stream in organisation.streams.values())):
            assert secret not in said
        return result

    return run


def names(organisation: Organisation) -> list[str]:
    """The streams there are."""
    return [stream.name for stream in organisation.streams.values()]


# --- test ----------------------------------------------------------------------------------------


def test_a_key_is_tried(run: Run) -> None:
    """The cloud, what the key may do, what is left."""
    shown = run("test").stdout
    assert "API v1.2.0" in shown
    assert "key          accepted, read & write" in shown
    assert "of 3000 requests left" in shown
    (finding,) = json.loads(run("test", "--json").stdout)
    assert (finding["accepted"], finding["may_write"]) == (True, True)


def test_a_read_only_key_works_and_is_named(run: Run, organisation: Organisation) -> None:
    """Exit code 0: the key works."""
    organisation.read_only = True
    assert "read-only" in run("test").stdout


def test_a_wrong_key_is_refused(run: Run, organisation: Organisation) -> None:
    """77, with the cloud's words and what to do."""
    organisation.api_key = "another"
    said = run("test", code=77).stderr
    assert "error [cloud.credentials-refused]: " in said
    assert "Unknown API key or Client ID" in said
    assert "  what to do: Check client id and API key, and whether they were made in this private cloud." in said
    assert "amp-streams test" not in said


def test_no_key_at_all_is_a_usage_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """2, with the variables to set."""
    monkeypatch.delenv("AMP_API_KEY")
    assert "AMP_API_KEY_FILE" in run("list", code=2).stderr


def test_no_cloud_is_a_usage_error_except_for_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test` asks every public cloud instead; here none can be reached, which is 69."""
    monkeypatch.delenv("AMP_API_HOST")
    said = run("list", code=2).stderr
    assert "which cloud?" in said
    assert "amp-streams test" in said
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "not all could be asked" in run("test", code=69).stderr


def test_the_api_key_is_no_option(run: Run) -> None:
    """Process arguments are seen by everybody."""
    assert "No such option" in run("list", "--api-key", "x", code=2).stderr
    for proxy in ("http://user:secret@proxy:1", "user:secret@proxy:1", "http://user:secret@[::1", "http://u:s@℀"):
        said = run("list", "--proxy", proxy, code=2).stderr
        assert "belongs in HTTPS_PROXY" in said
        assert "secret" not in said


# --- looking -------------------------------------------------------------------------------------


def test_streams_are_listed_by_name(run: Run) -> None:
    """Types and groups by name, all where nothing is restricted; JSON has ids too."""
    run("create", "Everything", "--save", "a.yml")
    run("create", "Some", "--save", "b.yml", "--event-type", "threat detected", "--group", "audit")
    rows = [line.split("  ") for line in run("list").stdout.splitlines()]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert shown == [
        ["ID", "NAME", "EVENT TYPES", "GROUPS", "QUEUE"],
        ["1", "Everything", "all", "all", "event_stream_1"],
        ["2", "Some", "Threat Detected", "Audit", "event_stream_2"],
    ]
    everything, some = json.loads(run("list", "--json").stdout)
    assert (everything["event_types"], everything["groups"]) == (None, None)
    assert some["event_types"] == [{"id": DETECTED, "name": "Threat Detected"}]
    assert some["groups"] == [{"guid": AUDIT, "name": "Audit"}]
    assert some["url"] == "amqps://localhost:443"
    assert "password" not in some


def test_many_types_are_cut_in_the_list_and_whole_in_show(run: Run) -> None:
    """Four, and how many more."""
    types = ["Threat Detected", "Threat Quarantined", "Quarantine Failure", "Policy Update", "Cloud IOC", "1003"]
    run("create", "Some", "--save", "a.yml", *(word for name in types for word in ("--event-type", name)))
    assert "Policy Update and 2 more" in run("list").stdout
    shown = run("show", "some").stdout
    assert "event types  Threat Detected (1090519054)\n             Threat Quarantined (553648143)" in shown
    assert "Email Confirmation (1003)" in shown
    assert "queue        event_stream_1" in shown
    assert json.loads(run("show", "1", "--json").stdout)["name"] == "Some"


def test_a_stream_that_is_not_there_is_refused(run: Run) -> None:
    """77, with those that are."""
    run("create", "SIEM", "--save", "a.yml")
    assert "there are: 'SIEM' (1)" in run("show", "SIEMX", code=77).stderr


def test_event_types_and_groups_are_searched(run: Run, organisation: Organisation) -> None:
    """By name, old name and id; nothing found is 1."""
    shown = run("event-types", "--search", "retrospective").stdout
    heading, first, *_ = (line.split() for line in shown.splitlines())
    assert heading == ["ID", "NAME", "OLDER", "NAMES"]
    assert first[:5] == ["553648147", "Cloud", "Recall", "Detection", "Retrospective"]
    organisation.groups = {f"guid-{n:04}": f"Branch {n}" for n in range(1234)}
    assert run("groups", "--search", "branch 1233").stdout.split("\n")[1].split() == ["guid-1233", "Branch", "1233"]
    assert len(json.loads(run("groups", "--json").stdout)) == 1234
    assert "no group has 'zzz'" in run("groups", "--search", "zzz", code=1).stderr


# --- creating ------------------------------------------------------------------------------------


def test_a_saved_stream_is_what_the_configuration_takes(run: Run, organisation: Organisation) -> None:
    """The file, its mode, and what to do next; the password is not shown."""
    result = run("create", "SIEM", "--save", "siem.yml")
    assert result.stdout == ""
    assert "created 'SIEM' (id 1)" in result.stderr
    assert "streams: [{credentials_file: siem.yml}]" in result.stderr
    saved = yaml.safe_load(Path("siem.yml").read_text())
    assert saved["password"] == organisation.streams[1].password
    assert (saved["url"], saved["queue"], saved["name"]) == ("amqps://localhost:443", "event_stream_1", "SIEM")
    assert stat.S_IMODE(os.stat("siem.yml").st_mode) == 0o600


def test_without_save_the_credentials_are_printed(run: Run, organisation: Organisation) -> None:
    """As data on standard output, in the format asked for."""
    result = CliRunner().invoke(cli, ["create", "SIEM", "--format", "json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["password"] == organisation.streams[1].password
    result = CliRunner().invoke(cli, ["create", "SOC", "--format", "kubernetes"])
    assert yaml.safe_load(result.stdout)["stringData"]["password"] == organisation.streams[2].password
    assert organisation.streams[2].password not in result.stderr


def test_types_and_groups_are_taken_by_any_name(run: Run, organisation: Organisation) -> None:
    """Any case, old names, ids and GUIDs; twice is once."""
    run(
        "create", "SIEM", "--save", "a.yml",
        *("--event-type", "THREAT DETECTED", "--event-type", "1090519054", "--event-type", "retrospective detection"),
        *("--group", AUDIT.upper(), "--group", "protect"),
    )  # fmt: skip
    stream = organisation.streams[1]
    assert stream.event_types == (DETECTED, 553648147)
    assert stream.group_guids == (AUDIT, "5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18")


def test_all_means_all(run: Run, organisation: Organisation) -> None:
    """Not the type "All Fault Cleared": created with it, and lifted by it, as without any name and by --all-…"""
    run("create", "SIEM", "--save", "a.yml", "--event-type", "all", "--group", "ALL")
    run("update", "SIEM", "--event-type", "Threat Detected", "--group", "Audit")
    assert (organisation.streams[1].event_types, organisation.streams[1].group_guids) == ((DETECTED,), (AUDIT,))
    assert "event types: all; groups: Audit" in run("update", "SIEM", "--event-type", "All").stderr
    run("update", "SIEM", "--group", "all")
    assert (organisation.streams[1].event_types, organisation.streams[1].group_guids) == ((), ())


def test_where_there_are_no_groups_a_group_is_unknown(run: Run, organisation: Organisation) -> None:
    """No group to choose from does not mean all of them."""
    organisation.groups = {}
    organisation.event_types = []
    assert "no group is called 'Audit'" in run("create", "SIEM", "--save", "a", "--group", "Audit", code=2).stderr
    assert "no event type" in run("create", "SIEM", "--save", "a", "--event-type", "Threat Detected", code=2).stderr
    assert organisation.streams == {}


@pytest.mark.parametrize("command", ["create", "delete"])
def test_a_key_from_standard_input_is_read_once(
    run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Commands that ask the cloud in several steps have it for all of them."""
    run("create", "SIEM", "--save", "a.yml")
    monkeypatch.delenv("AMP_API_KEY")
    more = {"create": ("create", "SOC", "--save", "b.yml", "--group", "Audit"), "delete": ("delete", "SIEM", "--yes")}
    run(*more[command], "--api-key-file", "-", stdin=KEY)
    assert names(organisation) == (["SIEM", "SOC"] if command == "create" else [])


def test_a_swapped_id_and_key_are_told_before_anything_is_sent(
    run: Run, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their forms tell; neither is shown."""
    key = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    monkeypatch.setenv("AMP_CLIENT_ID", key)
    monkeypatch.setenv("AMP_API_KEY", "0123456789abcdef0123")
    said = run("list", code=2).stderr
    assert "client id and API key are swapped" in said
    assert key not in said
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--event-type", "Threat"), "[name.ambiguous]: event type 'Threat' fits several: Threat Detected"),
        (
            ("--event-type", "Threat Detcted"),
            "[name.unknown]: no event type is called 'Threat Detcted'; meant perhaps",
        ),
        (("--event-type", "threat q"), "[name.abbreviated]: event type 'threat q' is only the beginning of a name"),
        (
            ("--group", "prot"),
            "[name.abbreviated]: group 'prot' is only the beginning of a name; meant perhaps: Prot",
        ),
        (("--event-type", "all", "--event-type", "Threat Detected"), "[usage]: `all` means every event type"),
        (("--group", "Nobody"), "[name.unknown]: no group is called 'Nobody'"),
    ],
)
def test_a_name_that_does_not_fit_creates_nothing(
    run: Run, organisation: Organisation, arguments: tuple[str, ...], said: str
) -> None:
    """2, with the candidates."""
    assert said in run("create", "SIEM", "--save", "a.yml", *arguments, code=2).stderr
    assert (names(organisation), os.listdir()) == ([], [])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m"])
def test_a_name_that_is_none_is_refused(run: Run, name: str) -> None:
    """Empty, or with control characters."""
    run("create", name, "--save", "a.yml", code=2)


@pytest.mark.parametrize("name", ["Zürich ☂ “SIEM”", 'it\'s "quoted"', "two  spaces", "[red]x[/red]", "日本", "-x"])
def test_names_may_hold_almost_anything(run: Run, organisation: Organisation, name: str) -> None:
    """They survive the cloud, the file and the table."""
    run("create", "--save", "a.yml", "--", name)
    assert names(organisation) == [name]
    assert yaml.safe_load(Path("a.yml").read_text())["name"] == name
    assert name in run("list").stdout
    run("delete", "--yes", "--", name)


def test_a_dry_run_creates_nothing(run: Run, organisation: Organisation, cloud: LocalCloud) -> None:
    """It looks, and says what would be done."""
    said = run("create", "SIEM", "--dry-run", "--event-type", "Threat Detected", "--save", "a.yml").stderr
    assert "would create 'SIEM': event types: Threat Detected; groups: all; would save a.yml" in said
    assert (names(organisation), os.listdir()) == ([], [])
    assert {method for method, _ in cloud.requests} == {"GET"}


def test_a_taken_name_and_a_stream_too_many_are_said_before(run: Run, organisation: Organisation) -> None:
    """77 each, nothing is created, and no file is left."""
    for n in range(5):
        run("create", f"s{n}", "--save", f"{n}.yml")
    assert "[cloud.name-taken]" in run("create", "S1", "--save", "a.yml", code=77).stderr
    assert "[cloud.stream-limit]" in run("create", "s5", "--save", "a.yml", code=77).stderr
    assert "[cloud.stream-limit]" in run("create", "s5", "--dry-run", code=77).stderr
    assert len(names(organisation)) == 5
    assert "a.yml" not in os.listdir()


def test_a_read_only_key_cannot_create(run: Run, organisation: Organisation) -> None:
    """77, with what to do."""
    organisation.read_only = True
    said = run("create", "SIEM", "--save", "a.yml", code=77).stderr
    assert "[cloud.read-only-key]" in said
    assert "Read & Write" in said
    assert os.listdir() == []


@pytest.mark.parametrize("path", ["there.yml", "no/such/folder/a.yml", "file/a.yml", "folder"])
def test_a_file_that_cannot_be_saved_is_said_before_anything_is_asked(run: Run, cloud: LocalCloud, path: str) -> None:
    """Not one request is sent."""
    Path("there.yml").write_text("precious")
    Path("file").touch()
    Path("folder").mkdir()
    assert "[credentials.file-unusable]" in run("create", "SIEM", "--save", path, code=2).stderr
    assert cloud.requests == []
    assert Path("there.yml").read_text() == "precious"


def test_a_save_that_fails_after_all_prints_the_password(
    run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loudly, whole, and with 69."""

    def fail(self: Reservation, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Reservation, "commit", fail)
    result = CliRunner().invoke(cli, ["create", "SIEM", "--save", "siem.yml"])
    assert result.exit_code == 69
    assert "KEEP THIS NOW" in result.stderr
    assert "error [credentials.not-saved]: 'SIEM' (1) was created, but siem.yml could not be written" in result.stderr
    assert yaml.safe_load(result.stdout)["password"] == organisation.streams[1].password
    assert os.listdir() == []


def test_an_answer_in_an_unknown_form_is_printed_whole(run: Run, cloud: LocalCloud) -> None:
    """The password may be in it."""
    cloud.fail(Failure("POST", status=201, body=b'{"data": {"secret": "s3cr3t"}}'))
    result = run("create", "SIEM", "--save", "siem.yml", code=69)
    assert result.stdout == '{"data": {"secret": "s3cr3t"}}\n'
    assert "'SIEM' was created, but the cloud's answer is not understood" in result.stderr


def test_a_lost_answer_is_said_with_the_way_out(run: Run, cloud: LocalCloud, organisation: Organisation) -> None:
    """The stream exists without a password: how to delete it is said; none is created beside it."""
    cloud.fail(lost_answer())
    said = run("create", "SIEM", "--save", "siem.yml", code=69).stderr
    assert "[cloud.answer-lost]: 'SIEM' was created (id 1), but the answer with its password was lost" in said
    assert "amp-streams delete 1" in said
    assert names(organisation) == ["SIEM"]


def test_a_stream_is_duplicated(run: Run, organisation: Organisation) -> None:
    """Same types and groups, another name, queue and password."""
    run("create", "SIEM", "--save", "a.yml", "--event-type", "Threat Detected", "--group", "Audit")
    run("duplicate", "siem", "SIEM test", "--save", "b.yml")
    first, second = organisation.streams.values()
    assert second.name == "SIEM test"
    assert (second.event_types, second.group_guids) == (first.event_types, first.group_guids)
    assert second.password != first.password
    assert yaml.safe_load(Path("b.yml").read_text())["password"] == second.password
    assert "[cloud.name-taken]" in run("duplicate", "SIEM", "SIEM test", code=77).stderr


# --- changing ------------------------------------------------------------------------------------


def test_a_stream_is_changed_where_it_is_said(run: Run, organisation: Organisation) -> None:
    """What is not given stays; --all-… lifts a restriction."""
    run("create", "SIEM", "--save", "a.yml", "--event-type", "Threat Detected", "--group", "Audit")
    stream = organisation.streams[1]
    said = run("update", "SIEM", "--name", "SOC", "--event-type", "Threat Quarantined").stderr
    assert "is now 'SOC': event types: Threat Quarantined; groups: Audit" in said
    assert (stream.name, stream.event_types, stream.group_guids) == ("SOC", (QUARANTINED,), (AUDIT,))
    assert (
        "would be 'SOC': event types: all; groups: Protect"
        in run("update", "SOC", "--all-event-types", "--group", "Protect", "--dry-run").stderr
    )
    assert stream.event_types == (QUARANTINED,)
    run("update", "SOC", "--all-event-types", "--all-groups")
    assert not stream.event_types
    assert not stream.group_guids


def test_a_change_that_says_nothing_or_too_much_is_a_usage_error(run: Run) -> None:
    """2, before anything is asked."""
    run("update", "SIEM", code=2)
    run("update", "SIEM", "--group", "x", "--all-groups", code=2)


def test_a_new_name_must_be_free(run: Run) -> None:
    """Another stream's is taken; its own in another case is not."""
    run("create", "SIEM", "--save", "a.yml")
    run("create", "SOC", "--save", "b.yml")
    assert "[cloud.name-taken]" in run("update", "SIEM", "--name", "soc", code=77).stderr
    run("update", "SIEM", "--name", "siem")


def test_a_deletion_is_asked_for(run: Run, organisation: Organisation) -> None:
    """Where nobody can be asked, --yes is needed."""
    run("create", "SIEM", "--save", "a.yml")
    assert "--yes" in run("delete", "SIEM", code=2).stderr
    run("delete", "SIEM", stdin="n\n", code=2)
    assert names(organisation) == ["SIEM"]
    assert "Delete 'SIEM' (id 1)" in run("delete", "SIEM", stdin="y\n").stderr
    assert names(organisation) == []


@pytest.mark.parametrize("command", [("delete", "SIEM"), ("rotate", "SIEM", "--save", "new.yml", "--finish")])
def test_a_question_names_the_organisation(
    run: Run, organisation: Organisation, cloud: LocalCloud, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have a stream of that name and id, and nothing in the cloud's answers has the organisation's."""
    run("create", "SIEM", "--save", "a.yml")
    if "--finish" in command:
        run(*command[:-1])
        waiting_events(monkeypatch, 0)
    said = run(*command, stdin="n\n", code=2).stderr
    whose = f"the client id {CLIENT_ID[:8]}…, cloud {cloud.url.split('/')[-1]}"
    assert f"in the organisation of {whose}:\nDelete 'SIEM' (id 1)" in said
    assert "SIEM" in names(organisation)


def test_a_stream_deleted_in_between_is_said(run: Run, cloud: LocalCloud) -> None:
    """Somebody else was faster: 77, not a bug."""
    run("create", "SIEM", "--save", "a.yml")
    cloud.fail(Failure("DELETE", status=400, body=error_body(400, "Bad Request", "Event stream not found")))
    assert "[cloud.stream-not-found]" in run("delete", "SIEM", "--yes", code=77).stderr


# --- rotating ------------------------------------------------------------------------------------


def waiting_events(monkeypatch: pytest.MonkeyPatch, count: int) -> list[str | None]:
    """So many wait in each queue; returns the CA file of each question."""
    asked = []

    async def count_waiting(
        self: Brokers, queue: str, path: Path, *, ca_file: str | None, proxy: object = None
    ) -> int:
        assert (queue, path.name) == ("event_stream_1", "new.yml")
        asked.append(ca_file)
        return count

    monkeypatch.setattr(Brokers, "count_waiting", count_waiting)
    return asked


def test_a_rotation_in_two_steps(run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin, instructions, and after --finish one stream of the old name with a new password."""
    waiting_events(monkeypatch, 0)
    run("create", "SIEM", "--save", "old.yml", "--event-type", "Threat Detected")
    assert "would create 'SIEM (rotating)'" in run("rotate", "SIEM", "--save", "new.yml", "--dry-run").stderr
    assert names(organisation) == ["SIEM"]
    said = run("rotate", "SIEM", "--save", "new.yml").stderr
    assert "amp-streams rotate 'SIEM' --save new.yml --finish" in said
    assert names(organisation) == ["SIEM", "SIEM (rotating)"]

    again = run("rotate", "SIEM", "--save", "new.yml").stderr
    assert "'SIEM (rotating)' is there, and its credentials are in new.yml" in again
    assert "[credentials.file-unusable]" in run("rotate", "SIEM", "--save", "old.yml", "--finish", code=2).stderr

    said = run("rotate", "SIEM", "--save", "new.yml", "--finish", "--dry-run").stderr
    assert "would delete 'SIEM' (id 1), and call 'SIEM (rotating)' 'SIEM'" in said
    run("rotate", "SIEM", "--save", "new.yml", "--finish", code=2)
    assert len(names(organisation)) == 2
    said = run("rotate", "SIEM", "--save", "new.yml", "--finish", "--yes").stderr
    assert "events waiting in the queue of 'SIEM' (id 1): 0\n" in said
    assert "done: 'SIEM' is id 2 now" in said
    assert [(stream.id, stream.name) for stream in organisation.streams.values()] == [(2, "SIEM")]
    assert yaml.safe_load(Path("new.yml").read_text())["password"] == organisation.streams[2].password


@pytest.mark.parametrize(("waiting", "code"), [(0, 0), (7, 1)])
def test_a_rotation_does_not_delete_what_is_not_drained(
    run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, waiting: int, code: int
) -> None:
    """Events that wait in the old queue keep it, unless they are to be discarded."""
    waiting_events(monkeypatch, waiting)
    run("create", "SIEM", "--save", "old.yml")
    run("rotate", "SIEM", "--save", "new.yml")
    said = run("rotate", "SIEM", "--save", "new.yml", "--finish", "--yes", code=code).stderr
    assert f"events waiting in the queue of 'SIEM' (id 1): {waiting}\n" in said
    assert names(organisation) == (["SIEM", "SIEM (rotating)"] if code else ["SIEM"])
    if code:
        run("rotate", "SIEM", "--save", "new.yml", "--finish", "--yes", "--discard")
        assert names(organisation) == ["SIEM"]


@pytest.mark.parametrize("format_", ["yaml", "env"])
def test_a_rotation_does_not_delete_what_nobody_counts(run: Run, organisation: Organisation, format_: str) -> None:
    """Unknown is not empty, though --yes agrees: the error says why, also in a dry run; only --discard goes on."""
    id_, code = ("amqp.unreachable", 69) if format_ == "yaml" else ("credentials.file-unusable", 2)
    run("create", "SIEM", "--save", "old.yml")
    run("rotate", "SIEM", "--save", "new.yml", "--format", format_)
    Path("new.yml").write_text(Path("new.yml").read_text().replace(":443", ":9"))
    unknown = f"events waiting in the queue of 'SIEM' (id 1): unknown [{id_}]\n"
    for option in ("--yes", "--dry-run"):
        said = run("rotate", "SIEM", "--save", "new.yml", "--finish", option, code=code).stderr
        assert unknown in said
        assert f"error [{id_}]: " in said
        assert " Or give --discard, where the new stream has them too.\n" in said
        assert names(organisation) == ["SIEM", "SIEM (rotating)"]
    said = run("rotate", "SIEM", "--save", "new.yml", "--finish", "--yes", "--discard").stderr
    assert unknown in said
    assert names(organisation) == ["SIEM"]


def test_a_rotation_counts_with_the_ca_of_the_streams_broker(
    run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-c` names a stream: its `tls.ca_file`, as the plugin takes it; an option goes before it."""
    asked = waiting_events(monkeypatch, 0)
    run("create", "SIEM", "--save", "old.yml")
    run("rotate", "SIEM", "--save", "new.yml")
    Path("amp.yml").write_text("streams: [{name: emea, tls: {ca_file: ca.pem}}]")
    finish = ("rotate", "SIEM", "--save", "new.yml", "--finish", "--dry-run")
    run(*finish)
    run(*finish, "-c", "amp.yml", "--of-stream", "emea")
    assert asked == [None, str(Path("ca.pem").absolute())]


def test_a_rotation_interrupted_between_deletion_and_renaming_goes_on(run: Run, organisation: Organisation) -> None:
    """The twin alone only needs its name."""
    run("create", "SIEM", "--save", "old.yml")
    run("rotate", "SIEM", "--save", "new.yml")
    organisation.delete(1)
    assert (
        "would call 'SIEM (rotating)' 'SIEM'"
        in run("rotate", "SIEM", "--save", "new.yml", "--finish", "--dry-run").stderr
    )
    run("rotate", "SIEM", "--save", "new.yml", "--finish")
    assert names(organisation) == ["SIEM"]


def test_a_rotation_is_not_finished_before_it_is_begun(run: Run) -> None:
    """2, with the order."""
    run("create", "SIEM", "--save", "old.yml")
    assert "has no twin yet" in run("rotate", "SIEM", "--save", "new.yml", "--finish", code=2).stderr


# --- applying ------------------------------------------------------------------------------------


RunningStreams = Callable[..., list[Organisation]]


@pytest.fixture
def fleet_file(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> RunningStreams:
    """``fleet_file("acme", …)`` writes fleet.yml with these tenants, each an organisation of its own."""

    def write(*names: str, **more: Any) -> list[Organisation]:
        tenants = []
        for name in names:
            monkeypatch.setenv(f"KEY_{name}", f"key-{name}")
            key = {"client_id": f"id-{name}", "api_key": f"${{KEY_{name}}}"}
            tenants.append({"name": name, **key, **more.get(name, {})})
        defaults = {"api_host": cloud.url, "streams": [{"name": "SIEM", "event_types": ["Threat Detected"]}]}
        Path("fleet.yml").write_text(yaml.safe_dump({"defaults": defaults, "tenants": tenants}))
        return [cloud.add_organisation(f"id-{name}", f"key-{name}") for name in names]

    return write


def test_a_fleet_is_applied(run: Run, fleet_file: RunningStreams) -> None:
    """First what would be done, then it is, then nothing is left to do."""
    acme, bravo = fleet_file("acme", "bravo")
    dry = run("apply", "fleet.yml", "--dry-run")
    assert "2 tenants: 2 create (dry run)" in dry.stderr
    assert [line.split()[:3] for line in dry.stdout.splitlines()[1:]] == [
        ["acme", "SIEM", "create"],
        ["bravo", "SIEM", "create"],
    ]
    assert (names(acme), sorted(os.listdir())) == ([], ["fleet.yml"])
    run("apply", "fleet.yml")
    assert (names(acme), names(bravo)) == (["SIEM"], ["SIEM"])
    assert sorted(os.listdir("credentials")) == ["acme-siem.yml", "bravo-siem.yml"]
    entries = yaml.safe_load(Path("streams.d/acme.yml").read_text())
    assert entries == [{"name": "acme-siem", "credentials_file": "../credentials/acme-siem.yml"}]
    again = run("apply", "fleet.yml")
    assert (again.stdout, again.stderr) == ("", "2 tenants: 2 keep\n")


def test_the_plugin_takes_what_a_fleet_wrote(run: Run, fleet_file: RunningStreams) -> None:
    """`include: streams.d/*.yml` and nothing else; each stream under its label, with the keys of `config:`."""
    fleet_file("acme", "bravo", acme={"config": {"add": {"tenant": "acme"}}})
    run("apply", "fleet.yml")
    Path("config.yml").write_text("include: streams.d/*.yml\nforward: {servers: [{host: 127.0.0.1, port: 24224}]}\n")
    acme, bravo = load(Path("config.yml")).streams
    assert (acme.name, acme.add, bravo.name) == ("acme-siem", {"tenant": "acme"}, "bravo-siem")
    assert (bravo.host, bravo.port, bravo.use_tls) == ("localhost", 443, True)


def test_a_fleet_with_failures_ends_with_their_code(run: Run, fleet_file: RunningStreams, cloud: LocalCloud) -> None:
    """One cause: its code; several: 1. Every failure is named with what to do."""
    acme, bravo, charlie = fleet_file("acme", "bravo", "charlie")
    acme.api_key = "changed"
    result = run("apply", "fleet.yml", "--output", "out", code=77)
    assert "acme" in result.stdout
    assert "[cloud.credentials-refused]" in result.stdout
    assert "what to do [cloud.credentials-refused]: Check client id" in result.stderr
    assert "3 tenants: 2 create, 1 fail" in result.stderr
    assert (names(bravo), names(charlie)) == (["SIEM"], ["SIEM"])
    cloud.fail(Failure(client_id="id-bravo", times=100, status=500))
    rows = json.loads(run("apply", "fleet.yml", "--output", "out", "--json", code=1).stdout)
    assert [row["error"]["id"] if row["error"] else row["action"] for row in rows] == [
        "cloud.credentials-refused",
        "cloud.server-error",
        "keep",
    ]


def test_one_tenant_of_a_fleet_is_rotated(run: Run, fleet_file: RunningStreams, organisation: Organisation) -> None:
    """Only the one that is named, in whatever case; the end is asked for, and a name that is none is said first."""
    acme, bravo = fleet_file("acme", "bravo")
    run("apply", "fleet.yml")
    assert "the fleet has no tenant 'charlie'" in run("apply", "fleet.yml", "--rotate", "charlie", code=2).stderr
    for wrong in (("--discard",), ("--finish",), ("--rotate", "acme", "--discard")):
        assert "--finish belongs to --rotate" in run("apply", "fleet.yml", *wrong, code=2).stderr
    assert "1 tenant: 1 twin (dry run)" in run("apply", "fleet.yml", "--rotate", "bravo", "--dry-run").stderr
    assert (names(acme), names(bravo)) == (["SIEM"], ["SIEM"])
    assert "1 tenant: 1 twin" in run("apply", "fleet.yml", "--rotate", "Bravo").stderr
    assert "2 tenants: 1 keep, 1 rotating, 1 twin" in run("apply", "fleet.yml", "--rotate", "all").stderr
    assert (names(acme), names(bravo)) == (["SIEM", "SIEM (rotating)"],) * 2
    finish = ("apply", "fleet.yml", "--rotate", "bravo", "--finish", "--discard")
    assert "Delete each old stream though events wait in its queue, of 1 tenant?" in run(*finish, code=2).stderr
    for done in ("1 keep, 1 rotate", "1 keep"):
        assert f"1 tenant: {done}\n" in run(*finish, "--yes").stderr
    assert [stream.id for stream in bravo.streams.values()] == [3]
    assert names(acme) == ["SIEM", "SIEM (rotating)"]


def test_a_fleet_whose_brokers_cannot_be_asked_is_not_verified(run: Run, fleet_file: RunningStreams) -> None:
    """69: there is none here, and that is said, for each stream."""
    fleet_file("acme")
    run("apply", "fleet.yml")
    Path("credentials/acme-siem.yml").write_text(Path("credentials/acme-siem.yml").read_text().replace(":443", ":9"))
    assert "[amqp.unreachable]" in run("apply", "fleet.yml", "--verify", code=69).stdout


def test_pruning_a_fleet_is_asked_for(run: Run, fleet_file: RunningStreams) -> None:
    """Before anything is done; --yes agrees."""
    (acme,) = fleet_file("acme")
    run("apply", "fleet.yml")
    fleet_file_text = Path("fleet.yml").read_text().replace("SIEM", "SOC")
    Path("fleet.yml").write_text(fleet_file_text)
    assert "leave" in run("apply", "fleet.yml", "--dry-run").stdout
    assert "delete" in run("apply", "fleet.yml", "--dry-run", "--prune").stdout
    run("apply", "fleet.yml", "--prune", code=2)
    assert names(acme) == ["SIEM"]
    run("apply", "fleet.yml", "--prune", "--yes")
    assert names(acme) == ["SOC"]


def test_a_password_that_a_fleet_cannot_save_is_printed(
    run: Run, fleet_file: RunningStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a single stream."""
    (acme,) = fleet_file("acme")
    commit = Reservation.commit

    def fail(self: Reservation, text: str) -> None:
        if "password" in text:
            raise OSError(28, "No space left on device")
        commit(self, text)

    monkeypatch.setattr(Reservation, "commit", fail)
    result = CliRunner().invoke(cli, ["apply", "fleet.yml"])
    assert result.exit_code == 69
    assert acme.streams[1].password in result.stdout
    assert "KEEP THIS NOW" in result.stderr


@pytest.mark.parametrize("text", [None, "tenants: 5", "\xff"])
def test_a_fleet_file_that_is_none_is_a_configuration_error(run: Run, text: str | None) -> None:
    """78."""
    if text is not None:
        Path("fleet.yml").write_text(text, "latin-1")
    assert "[fleet.invalid]" in run("apply", "fleet.yml", code=78).stderr


def test_a_fleet_waits_for_no_pipe(run: Run, fleet_file: RunningStreams) -> None:
    """Neither for the file, nor for one that it names."""
    fleet_file("acme")
    os.mkfifo("pipe")
    assert "not a regular file" in run("apply", "pipe", code=78).stderr
    text = Path("fleet.yml").read_text().replace("api_key: ${KEY_acme}", "api_key_file: pipe")
    Path("fleet.yml").write_text(text)
    assert "api_key_file: the file cannot be read: not a regular file" in run("apply", "fleet.yml", code=78).stderr


# --- trouble -------------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_out_visibly(run: Run, cloud: LocalCloud) -> None:
    """A line where nobody watches; --max-wait ends it with 69."""
    cloud.fail(too_many_requests(1))
    assert "the rate limit is used up: waiting 1 s" in run("list").stderr
    cloud.fail(too_many_requests(100))
    said = run("list", "--max-wait", "1m", code=69).stderr
    assert "[cloud.rate-limited]" in said
    assert "to wait: 100 s, allowed: 60 s" in said
    assert "not a duration" in run("list", "--max-wait", "soon", code=2).stderr


def test_html_instead_of_json_is_named(run: Run, cloud: LocalCloud) -> None:
    """A portal or proxy answers: 69."""
    cloud.fail(web_page())
    assert "a web page (HTML) instead of JSON" in run("list", code=69).stderr


def test_no_network_is_69(run: Run) -> None:
    """With the host and what to check."""
    said = run("list", "--api-host", "127.0.0.1:9", code=69).stderr
    assert "[cloud.unreachable]: no connection to 127.0.0.1:9: Connection refused" in said
    assert "proxy" in said


def test_a_certificate_that_is_not_trusted_is_77(run: Run, tmp_path: Path) -> None:
    """With the option that helps, which helps."""
    certificates = make_certificates(tmp_path / "certificates")
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        cloud.add_organisation(CLIENT_ID, KEY)
        said = run("list", "--api-host", cloud.url, code=77).stderr
        assert "[cloud.certificate-refused]" in said
        run("list", "--api-host", cloud.url, "--ca-file", str(certificates.ca_file))
    assert "not a file of PEM certificates" in run("list", "--ca-file", "/no/such", code=2).stderr


def test_the_clouds_words_cannot_touch_the_terminal(run: Run, cloud: LocalCloud, organisation: Organisation) -> None:
    """Escape sequences in names and errors are shown, not obeyed."""
    cloud.fail(Failure(status=400, body=error_body(400, "Bad", "\x1b]0;owned\x07")))
    assert "\x1b" not in run("list", code=77).stderr
    organisation.groups["guid"] = "\x1b[31mred\u202e\n"
    shown = run("groups", "--search", "guid").stdout
    assert "\\x1b[31mred\\u202e\\n" in shown


def test_a_bug_is_70_and_its_words_need_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody checked the words of a bug for secrets."""

    def fail(*arguments: object) -> None:
        raise RuntimeError("s3cr3t")

    monkeypatch.setattr("fluent_plugin_amp.config.access.find_access", fail)
    result = CliRunner().invoke(cli, ["list"])
    assert result.exit_code == 70
    assert "error [bug]: RuntimeError in test_cli.py" in result.stderr
    assert "s3cr3t" not in result.stderr
    assert "s3cr3t" in CliRunner().invoke(cli, ["--debug", "list"]).stderr


def test_a_question_that_nobody_can_read_is_no_success(
    run: Run, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was deleted, and the exit code says so."""
    run("create", "SIEM", "--save", "siem.yml")

    def leave(*_: object, **options: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(click, "confirm", leave)
    assert "[stdout.closed]" in run("delete", "SIEM", code=69).stderr
    assert len(organisation.streams) == 1


def test_credentials_may_come_from_a_configuration(
    run: Run, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream's api: and cloud:, with -c."""
    for name in ("AMP_CLIENT_ID", "AMP_API_KEY", "AMP_API_HOST"):
        monkeypatch.delenv(name)
    Path("key").write_text(KEY)
    stream = {"name": "emea", "cloud": {"api": cloud.url}, "api": {"client_id": CLIENT_ID, "api_key_file": "key"}}
    Path("config.yml").write_text(yaml.safe_dump({"streams": [stream]}))
    assert run("list", "-c", "config.yml").stderr == ""
    run("list", "-c", "config.yml", "--of-stream", "other", code=78)
    monkeypatch.setenv("AMP_API_KEY", KEY)
    assert run("list", "-c", "config.yml").stderr == "from the environment, not from config.yml: AMP_API_KEY\n"
    monkeypatch.setenv("AMP_CLIENT_ID", "another")
    assert "which organisation?" in run("delete", "SIEM", "--yes", "-c", "config.yml", code=2).stderr


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_shows_an_example(command: str) -> None:
    """Of every command."""
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"  amp-streams {command} " in result.stdout + " " or f"  amp-streams {command}\n" in result.stdout


@pytest.mark.parametrize("option", ["--region", "--api-host", "--client-id", "--api-key-file", "--ca-file", "-c"])
def test_an_empty_option_does_not_mean_the_environment(run: Run, cloud: LocalCloud, option: str) -> None:
    """As where a variable of the shell is not set: the environment may be of another organisation."""
    assert f"{option} is empty" in run("list", option, "", code=2).stderr
    assert cloud.requests == []


def test_an_empty_folder_is_not_the_working_directory(run: Run, cloud: LocalCloud) -> None:
    """Credentials would be written there."""
    assert "--output is empty" in run("apply", "fleet.yml", "--output", "", code=2).stderr
    assert "--save is empty" in run("create", "SIEM", "--save", "", code=2).stderr
    assert cloud.requests == []


def test_an_empty_proxy_is_none(run: Run, cloud: LocalCloud) -> None:
    """It would be forgotten without a word, and that of the environment taken."""
    assert "--proxy" in run("list", "--proxy=", code=2).stderr
    assert cloud.requests == []


def test_a_stream_of_no_configuration_is_not_forgotten(run: Run, cloud: LocalCloud) -> None:
    """It names an organisation, too: that of the environment may be another one."""
    assert "--of-stream belongs to -c" in run("list", "--of-stream", "acme", code=2).stderr
    assert cloud.requests == []
