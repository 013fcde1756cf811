"""The local cloud as a command: what it prints is all that a newcomer needs, and nothing is left of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fluent_plugin_amp.amp_respond.cli import cli as amp_respond
from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.local_cloud import SHA256, Passing, detection, furnish, write_files
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.rest import Request
from fluent_plugin_amp.testing.waiting import DEADLINE_S

NOW = 1_764_288_000


@pytest.fixture
def organisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_cloud: LocalCloud, certificates: Certificates
) -> Organisation:
    """Furnished, with its key in the environment."""
    made = local_cloud.add_organisation()
    furnish(made, NOW)
    write_files(tmp_path, local_cloud, made, certificates.ca_file)
    monkeypatch.setenv("AMP_API_HOST", local_cloud.url)
    monkeypatch.setenv("AMP_CLIENT_ID", made.client_id)
    monkeypatch.setenv("AMP_API_KEY_FILE", str(tmp_path / "api_key"))
    monkeypatch.setenv("NO_PROXY", "*")
    return made


@pytest.fixture
def local_cloud() -> Iterator[LocalCloud]:
    """Without a broker."""
    with LocalCloud() as cloud:
        yield cloud


def test_it_has_the_case_of_the_page(organisation: Organisation) -> None:
    """A computer ran the file and raised no event; there are lists to block it on."""
    hunt = CliRunner().invoke(amp_respond, ["hunt", SHA256, "--executed"])
    assert re.search(r"^desk-015 +\S+ +no +yes ", hunt.output, re.MULTILINE), hunt.output
    assert re.search(r"^desk-014 +\S+ +yes +no ", hunt.output, re.MULTILINE), hunt.output
    lists = CliRunner().invoke(amp_respond, ["lists"]).output
    assert "SOC list" in lists
    assert "Execution list" in lists


def test_its_sources_answer(organisation: Organisation, tmp_path: Path) -> None:
    """`check` asks each of the sources that the configuration turns on."""
    stream = "url: amqps://127.0.0.1:1\nusername: u\npassword: p\nqueue: q\n"
    (tmp_path / "emea.yml").touch(mode=0o600)
    (tmp_path / "emea.yml").write_text(stream)
    output = CliRunner().invoke(cli, ["check", "-c", str(tmp_path / "amp.yml")]).output
    for source in ("audit_logs", "computers", "vulnerabilities", "hunts"):
        assert re.search(rf"^ok +source acme/{source} ", output, re.MULTILINE), output


def test_a_new_stream_gets_the_event_of_the_case(organisation: Organisation) -> None:
    """Once, so that the plugin hunts for its file; otherwise each tick is an event and an entry."""
    passing = Passing(organisation)
    passing.tick(NOW)
    assert len(organisation.events) == 2
    organisation.answer(Request("POST", "/v1/event_streams", "http://cloud", body=b'{"name": "emea"}'))
    passing.tick(NOW + 10)
    passing.tick(NOW + 20)
    assert len(organisation.events) == 5
    assert [second for second, _ in organisation.audit_log.entries][1:] == [NOW, NOW + 10, NOW + 20]
    assert detection(organisation, NOW) != detection(organisation, NOW + 10)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_ended(end: signal.Signals) -> None:
    """Its folder goes with it: the key, the authority, and the journal that a trial writes."""
    command = [sys.executable, "-m", "fluent_plugin_amp.testing.local_cloud", "--rest-only"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = "".join(process.stdout.readline() for _ in range(7))
            folder = Path(re.findall(r"^cd (\S+)", printed, re.MULTILINE)[0])
            assert (folder / "api_key").stat().st_mode & 0o777 == 0o600
            exported = dict(re.findall(r"^export (\w+)=(.*)$", printed, re.MULTILINE))
            assert exported["AMP_RESPOND_JOURNAL"] == str(folder / "journal.ndjson")
            assert "BEGIN CERTIFICATE" in Path(exported["SSL_CERT_FILE"]).read_text()
            assert folder in Path(exported["SSL_CERT_FILE"]).parents
            process.send_signal(end)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    assert not folder.exists()
