"""`amp-respond block`, `unblock` and `lists`: only lists that block are touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.responses import Responses
from tests.amp_respond.conftest import SHA256, WHY, YES, Run, changes, told


def test_a_file_is_blocked_twice_and_unblocked_twice(run: Run, responses: Responses) -> None:
    """409 and 404 say that it was so: both are success."""
    soc = responses.add_list("SOC list")
    for outcome in ("done", "already"):
        assert outcome in run("block", SHA256.upper(), "--list", "soc list", *YES).stdout
        assert list(soc.files) == [SHA256]
    for outcome in ("done", "already"):
        assert outcome in run("unblock", SHA256, "--list", "SOC list", *YES).stdout
        assert soc.files == {}


def test_lists_are_shown_with_the_policies_that_use_them(run: Run, responses: Responses) -> None:
    """One that no policy uses has no effect, which is said; allow lists are not shown."""
    responses.add_list("SOC list", "simple_custom_detections", "Protect").files[SHA256] = "case 77"
    responses.add_list("Unused", "application_blocking")
    responses.add_list("Known good", "allowed_applications")
    shown = run("lists", "--files").stdout
    assert SHA256 in shown
    assert "no policy" in shown
    assert "Known good" not in shown
    assert json.loads(run("lists", "--json").stdout)[0]["policies"] == ["Protect"]


def test_no_hash_gets_onto_an_allow_list(run: Run, responses: Responses, cloud: LocalCloud) -> None:
    """Neither by name nor by GUID."""
    allowed = responses.add_list("Known good", "allowed_applications")
    for name in ("Known good", allowed.guid):
        for command in ("block", "unblock"):
            assert "cloud.list-not-found" in run(command, SHA256, "--list", name, *YES, code=77).stderr
    assert changes(cloud) == []
    assert allowed.files == {}


@pytest.mark.parametrize("command", ["block", "unblock"])
def test_a_list_that_becomes_an_allow_list_is_left_alone(
    run: Run,
    responses: Responses,
    cloud: LocalCloud,
    at_the_prompt: Callable[[Callable[[], object]], None],
    command: str,
) -> None:
    """The same GUID has another type when the prompt is answered: the type is asked again before the request."""
    soc = responses.add_list("SOC list")
    soc.files = {SHA256: ""} if command == "unblock" else {}
    at_the_prompt(lambda: setattr(soc, "type", "allowed_applications"))
    assert "cloud.list-not-found" in run(command, SHA256, "--list", "SOC list", *WHY, code=77).stderr
    soc.type = "simple_custom_detections"
    at_the_prompt(lambda: setattr(soc, "type", "application_blocking"))
    assert "cloud.list-wrong-type" in run(command, SHA256, "--list", "SOC list", *WHY, code=77).stderr
    assert changes(cloud) == []


def test_a_file_that_is_refused_stops_no_other(
    run: Run, responses: Responses, cloud: LocalCloud, journal: Path
) -> None:
    """The cloud takes one of two files: the other is told, and written down, as refused."""
    soc, other = responses.add_list("SOC list"), "a" * 64
    cloud.fail(Failure("POST", f"/v1/file_lists/{soc.guid}/files/{other}", status=400))
    run("block", other, SHA256, "--list", "SOC list", *YES, code=77)
    assert list(soc.files) == [SHA256]
    assert [line.get("outcome") for line in told(journal)] == [None, "refused", None, "done"]
