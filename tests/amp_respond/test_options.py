"""The options of `amp-respond`: nothing is taken for what it is not, and one organisation is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer
from tests.amp_respond.conftest import SHA256, YES, Run

# --- one value each -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "twice"),
    [
        (["isolate"], ["--hash", SHA256]),
        (["isolate"], ["--from", "names"]),
        (["block", SHA256], ["--list", "SOC list"]),
        (["move", "desk-014"], ["--group", "Triage"]),
        (["isolate", "desk-014", "--fleet", "fleet.yml"], ["--tenant", "acme"]),
        (["isolate", "desk-014", "--tenant", "acme"], ["--fleet", "fleet.yml"]),
        (["isolate", "desk-014"], ["--reason", "case 78"]),
        *(
            (["isolate", "desk-014"], [option, "us"])
            for option in (
                "-c",
                "--of-stream",
                "--client-id",
                "--api-key-file",
                "--region",
                "--api-host",
                "--ca-file",
            )
        ),
    ],
)
def test_what_is_named_twice_is_not_taken_for_the_last_one(
    run: Run, computer: LocalComputer, cloud: LocalCloud, arguments: list[str], twice: list[str]
) -> None:
    """Whoever gives two files or groups means both, or forgot the first: nothing is done with one of them."""
    assert f"{twice[0]}: give it once" in run(*arguments, *twice, *twice, *YES, code=2).stderr
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("isolate desk-014 --reason attacked srv-linux-1 --yes", "--reason"),
        ("isolate desk-014 --yes --wait 0s srv-linux-1 --reason x", "--wait"),
        ("isolate desk-014 --reason=attacked -- srv-linux-1 --yes", "--reason"),
        ("release - --reason attacked srv-linux-1 --yes", "--reason"),
        ("move desk-014 --group Triage srv-linux-1 --reason x --yes", "--group"),
        (f"block {SHA256} --list SOC {SHA256} --reason x --yes", "--list"),
        ("isolate --reason attacked srv-linux-1 --yes desk-014", "--yes"),
    ],
)
def test_a_word_of_a_reason_is_no_name(
    run: Run, computer: LocalComputer, cloud: LocalCloud, words: str, option: str
) -> None:
    """Without quotes the second word of a reason would be a computer's name: names stand together."""
    said = run(*words.split(), code=2).stderr
    assert f"names stand before and after {option}:" in said
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        ("isolate desk-014 --yes --reason --dry-run", "--reason", "--dry-run"),
        ("isolate desk-014 --reason x --yes --journal --dry-run", "--journal", "--dry-run"),
        (f"isolate --hash {SHA256} --yes --reason --no-event", "--reason", "--no-event"),
        ("undo 0123456789ab --yes --reason --dry-run", "--reason", "--dry-run"),
        ("isolate desk-014 --yes --reason --wait=0s", "--reason", "--wait=0s"),
        ("isolate desk-014 --yes --reason -cacme.yml", "--reason", "-cacme.yml"),
        ("isolate desk-014 --yes --reason --help", "--reason", "--help"),
        ("isolate desk-014 --yes --reason -h", "--reason", "-h"),
        ("isolate desk-014 --yes --reason x --client-id --region=us", "--client-id", "--region=us"),
    ],
)
def test_no_option_is_the_value_of_another(
    run: Run, computer: LocalComputer, cloud: LocalCloud, words: str, option: str, value: str
) -> None:
    """As where a variable of the shell is empty: a dry run would become the real thing."""
    assert f"{option} lacks its value: {value} is an option" in run(*words.split(), code=2).stderr
    assert cloud.requests == []


def test_names_that_stand_together_are_taken(run: Run, computer: LocalComputer) -> None:
    """Before, between and after options; the reason is shown with them, as it may not be all of it."""
    for words in (
        "isolate desk-014 srv-linux-1 --dry-run --reason attacked",
        "isolate --reason attacked --dry-run -- desk-014 srv-linux-1",
        "isolate --wait 0s desk-014 srv-linux-1 --reason attacked --dry-run",
    ):
        said = run(*words.split()).stderr
        assert said.count("would isolate") == 2
        assert "\nreason: attacked\n2 in all" in said


@pytest.mark.parametrize("option", ["--since", "--wait", "--timeout", "--max-wait"])
@pytest.mark.parametrize("time", ["3651d", "99999999999999d"])
def test_a_time_has_a_bound(run: Run, computer: LocalComputer, cloud: LocalCloud, option: str, time: str) -> None:
    """Ten years: before the year 1, or at the end of a float, is no time to count with."""
    command = ["journal"] if option == "--since" else ["isolate", "desk-014", *YES]
    assert "is more than 3650d" in run(*command, option, time, code=2).stderr
    assert cloud.requests == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "\x1b[2J"])
def test_a_reason_is_given(run: Run, computer: LocalComputer, reason: str) -> None:
    """Something that can be read, of bounded length."""
    run("isolate", "desk-014", "--yes", "--reason", reason, code=2)
    assert computer.status == "not_isolated"


# --- which organisation ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        "--client-id",
        "--api-key-file",
        "--api-host",
        "--of-stream",
        "--list",
        "--tenant",
        "--config",
        "--from",
        "--fleet",
    ],
)
def test_an_empty_option_is_none_that_was_forgotten(
    run: Run, computer: LocalComputer, cloud: LocalCloud, option: str
) -> None:
    """As where a variable of the shell is not set: the organisation of the environment would be changed."""
    command = ["block", SHA256] if option == "--list" else ["isolate", "desk-014"]
    assert f"{option.replace('--config', '-c')} is empty" in run(*command, *YES, f"{option}=", code=2).stderr
    assert cloud.requests == []


def test_a_configuration_and_an_environment_of_two_organisations_change_nothing(
    run: Run, computer: LocalComputer, organisation: Organisation, cloud: LocalCloud, tmp_path: Path
) -> None:
    """A variable of the last case is still set: it would go before the configuration, which is named now."""
    config = tmp_path / "acme.yml"
    api = "api: {client_id: %s, api_key: secret}, cloud: {api: '%s'}"
    config.write_text(f"streams: [{{name: acme, {api % ('another', cloud.url)}}}]")
    said = run("isolate", "desk-014", *YES, "-c", str(config), code=2).stderr
    assert "AMP_CLIENT_ID is not the client id of acme.yml" in said.replace(f"{tmp_path}/", "")
    assert cloud.requests == []
    config.write_text(f"streams: [{{name: acme, {api % (organisation.client_id, cloud.url)}}}]")
    run("isolate", "desk-014", *YES, "-c", str(config))
    assert computer.status == "isolated"


@pytest.mark.parametrize("option", ["--region", "--api-host", "--client-id", "--api-key-file", "-c", "--of-stream"])
@pytest.mark.parametrize("which", [["isolate", "desk-014", "--tenant", "acme"], ["hunt", SHA256, "--all-tenants"]])
def test_a_tenant_and_another_organisation_are_not_both_meant(
    run: Run, computer: LocalComputer, cloud: LocalCloud, which: list[str], option: str
) -> None:
    """The fleet file has cloud and key of the tenant: another one beside it would be forgotten."""
    why = YES if which[0] == "isolate" else ()
    said = run(*which, "--fleet", "fleet.yml", option, "another", *why, code=2).stderr
    assert f"--fleet has cloud and key, and so has {option}" in said
    assert cloud.requests == []


def test_a_stream_without_a_client_id_is_not_of_the_environments_organisation(
    run: Run, computer: LocalComputer, cloud: LocalCloud, tmp_path: Path
) -> None:
    """It is named, so its organisation is meant; which that is, nothing tells."""
    config = tmp_path / "both.yml"
    config.write_text("streams: [{name: globex}, {name: acme, api: {client_id: another, api_key: secret}}]")
    said = run("isolate", "desk-014", *YES, "-c", str(config), "--of-stream", "globex", code=2).stderr
    assert "which organisation?" in said
    assert cloud.requests == []
