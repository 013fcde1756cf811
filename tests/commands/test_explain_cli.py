"""`explain --source`: a record of a polled source, as `run` makes it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.errors import EXIT_OK

CONFIG = {
    "streams": [{"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}],
    "forward": {"servers": [{"host": "h"}]},
    "state": {"path": "state.db"},
    "organisations": [
        {
            "name": "acme",
            "cloud": "eu",
            "api": {"client_id": "c", "api_key": "k"},
            "audit_logs": {"tag": "of.acme"},
            "computers": {},
            "add": {"tenant": "acme"},
        }
    ],
}


def explain(folder: Path, source: str, body: str) -> Result:
    """What the command prints."""
    config, file = folder / "amp.yml", folder / "entry.json"
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(CONFIG))
    file.write_text(body)
    return CliRunner().invoke(cli, ["explain", "-c", str(config), "--source", source, "--json", str(file)])


def test_an_entry_of_the_audit_log(tmp_path: Path) -> None:
    """Its secrets are masked in the first step already; it has the tag and the fields of its source."""
    done = explain(tmp_path, "acme/audit_logs", '{"new_attributes": {"unlock_code": "qwerty"}, "event": "update"}')
    assert done.exit_code == EXIT_OK, done.output
    explained = json.loads(done.stdout)
    assert explained["tag"] == "of.acme"
    assert explained["steps"][-1]["record"]["tenant"] == "acme"
    assert explained["steps"][0]["record"]["new_attributes"] == {"unlock_code": "***"}
    assert "qwerty" not in done.output


def test_the_time_of_an_entry(tmp_path: Path) -> None:
    """It is that of `created_at`, as in `run`."""
    done = explain(tmp_path, "acme/audit_logs", '{"created_at": "2024-06-19T10:16:22Z", "event": "update"}')
    assert json.loads(done.stdout)["time"] == "2024-06-19T10:16:22.000000000Z"


def test_a_computer(tmp_path: Path) -> None:
    """A record of another kind passes as it is."""
    done = explain(tmp_path, "acme/computers", '{"change": "gone", "organisation": "acme"}')
    assert json.loads(done.stdout)["tag"] == "edr.cisco.amp.computers"


def test_what_is_no_entry_is_a_dead_letter(tmp_path: Path) -> None:
    """As in `run`."""
    assert json.loads(explain(tmp_path, "acme/audit_logs", "[").stdout)["dead_letter"]


def test_no_such_source(tmp_path: Path) -> None:
    """It says which there are."""
    done = explain(tmp_path, "acme/groups", "{}")
    assert done.exit_code != EXIT_OK
    assert "there are: acme/audit_logs, acme/computers" in done.output
