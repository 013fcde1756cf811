"""`amp-respond hunt`: who has seen a file, who ran it, and who raised no event; in all organisations, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluent_plugin_amp.amp_respond import hunts
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import SHA256, WHY, YES, Run


def test_a_hunt_finds_who_said_nothing(run: Run, computer: LocalComputer, organisation: Organisation) -> None:
    """They come first, with links to the console; a hash then isolates them alone."""
    responses = organisation.responses
    silent = next(one for one in responses.computers.values() if one is not computer)
    responses.see(SHA256, computer)
    responses.see(SHA256, silent, executed=True)
    event = {"id": 1, "connector_guid": computer.guid, "file": {"identity": {"sha256": SHA256}}}
    organisation.publish([json.dumps(event).encode()])
    result = run("hunt", SHA256.upper(), "--executed")
    assert "2 have seen it, 1 of them raised no event" in result.stderr
    assert f"/computers/{silent.guid}/trajectory?q={SHA256}" in result.stdout
    found = json.loads(run("hunt", SHA256, "--json").stdout)
    assert [(one["hostname"], one["raised_event"]) for one in found["computers"]] == [
        ("srv-linux-1", False),
        ("desk-014", True),
    ]
    run("isolate", "--hash", SHA256, "--no-event", *YES)
    assert (computer.status, silent.status) == ("not_isolated", "isolated")
    responses.see("203.0.113.7", computer)
    assert json.loads(run("hunt", "203.0.113.7", "--json").stdout)["computers"][0]["raised_event"] is None
    said = run("hunt", "203.0.113.7").stderr
    assert said == "1 has seen it; whether they raised events is asked for a SHA-256 only\n"
    run("hunt", "203.0.113.7", "--executed", code=2)


@pytest.mark.parametrize("mistyped", [SHA256[:-1], "d" * 32, "0" * 40])
def test_a_hash_that_is_no_sha_256_gives_no_all_clear(run: Run, cloud: LocalCloud, mistyped: str) -> None:
    """2, before the cloud is asked; and so for whatever else takes a hash."""
    for command in (
        ("hunt", mistyped),
        ("hunt", mistyped, "--executed", "--json"),
        ("isolate", "--hash", mistyped, *YES),
        ("vulnerable", "--sha256", mistyped),
    ):
        said = run(*command, code=2).stderr
        assert f"error [hash.not-sha256]: '{mistyped}' has {len(mistyped)} hexadecimal digits" in said
        assert "  what to do: Give the file's SHA-256 with all its 64 hexadecimal digits" in said
    assert cloud.requests == []


def test_who_said_nothing_is_asked_first_whether_the_file_ran(
    run: Run, computer: LocalComputer, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more have seen it than are asked; a dash could be taken for a no."""
    monkeypatch.setattr(hunts, "MAX_TRAJECTORIES", 1)
    silent = organisation.responses.add_computer("zzz")
    organisation.responses.see(SHA256, computer, silent, executed=True)
    event = {"id": 1, "connector_guid": computer.guid, "file": {"identity": {"sha256": SHA256}}}
    organisation.publish([json.dumps(event).encode()])
    result = run("hunt", SHA256, "--executed")
    assert [row.split()[:1] + row.split()[2:4] for row in result.stdout.splitlines()[1:]] == [
        ["zzz", "no", "yes"],
        ["desk-014", "yes", "-"],
    ]
    assert "1 computer not asked whether the file ran there" in result.stderr
    assert "not asked" not in run("hunt", SHA256).stderr


def test_a_computer_that_is_removed_during_a_hunt_hides_no_other(
    run: Run, computer: LocalComputer, responses: Responses, cloud: LocalCloud
) -> None:
    """Its history is still there, its trajectory is not: whether it ran the file is not known of it alone."""
    silent = next(one for one in responses.computers.values() if one is not computer)
    responses.see(SHA256, computer, silent, executed=True)
    cloud.fail(Failure("GET", f"/v1/computers/{computer.guid}/trajectory", status=404))
    found = json.loads(run("hunt", SHA256, "--executed", "--json").stdout)["computers"]
    assert {one["hostname"]: one["executed"] for one in found} == {"desk-014": None, "srv-linux-1": True}


def test_every_tenant_is_hunted_in(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud, tmp_path: Path
) -> None:
    """One that cannot be asked stops no other; and one can be meant, which is named before anything is done."""
    organisation.responses.see(SHA256, computer)
    fleet = tmp_path / "fleet.yml"
    (tmp_path / "key").write_text(organisation.api_key)
    (tmp_path / "bad").write_text("0" * 32)
    fleet.write_text(
        f"defaults: {{api_host: '{cloud.url}', streams: [{{name: SIEM}}]}}\n"
        "tenants:\n"
        "  - {name: Bad, client_id: nobody, api_key_file: bad}\n"
        f"  - {{name: Acme, client_id: {organisation.client_id}, api_key_file: key}}\n"
    )
    result = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", "--json", code=77)
    assert "Bad could not be asked" in result.stderr
    assert result.stderr.endswith("\n1 of 2 organisations could not be asked: Bad\n")
    shown = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", code=77).stderr
    assert shown.endswith("1 has seen it, 1 of them raised no event\n1 of 2 organisations could not be asked: Bad\n")
    failed, asked = json.loads(result.stdout)
    assert (asked["tenant"], len(asked["computers"]), asked["error"]) == ("Acme", 1, None)
    assert (failed["tenant"], failed["complete"], failed["computers"]) == ("Bad", False, [])
    assert failed["error"]["id"] == "cloud.credentials-refused"
    assert "desk-014" in run("hunt", SHA256, "--fleet", str(fleet), "--tenant", "acme").stdout
    run("hunt", SHA256, "--all-tenants", code=2)
    both = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", "--tenant", "acme", code=2).stderr
    assert "--tenant or --all-tenants" in both
    run("isolate", "desk-014", *WHY, "--tenant", "acme", code=2)
    shown = run("isolate", "desk-014", *WHY, "--dry-run", "--fleet", str(fleet), "--tenant", "acme").stderr
    whose = f"client id {organisation.client_id[:8]}…, cloud {cloud.url.split('/')[-1]}"
    assert shown.startswith(f"in the organisation Acme ({whose}):\nwould isolate desk-014 ")
    shown = run("isolate", "desk-014", *WHY, "--dry-run").stderr
    assert shown.startswith(f"in the organisation of the {whose}:\nwould isolate desk-014 ")
    assert organisation.client_id not in shown


def test_a_hunt_that_could_ask_nobody_gives_no_all_clear(run: Run, cloud: LocalCloud, tmp_path: Path) -> None:
    """No "0 have seen it", and no empty table."""
    (tmp_path / "bad").write_text("0" * 32)
    fleet = tmp_path / "fleet.yml"
    fleet.write_text(
        f"defaults: {{api_host: '{cloud.url}', streams: [{{name: SIEM}}]}}\n"
        "tenants: [{name: Bad, client_id: nobody, api_key_file: bad}]\n"
    )
    result = run("hunt", SHA256, "--fleet", str(fleet), "--all-tenants", code=77)
    assert result.stdout == ""
    assert "seen it" not in result.stderr
    assert result.stderr.endswith("\n1 of 1 organisation could not be asked: Bad\n")
