"""`amp-streams` as a process: pipes, terminals and signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.cisco.helpers import VARIABLES

KEY = "hunter2-0123456789-hunter2"
COMMAND = [sys.executable, "-c", "from fluent_plugin_amp.amp_streams.cli import main; main()"]


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """The customer whose key is in the environment."""
    return cloud.add_organisation("3rdparty0123456789ab", KEY)


@pytest.fixture
def environ(cloud: LocalCloud, organisation: Organisation) -> Mapping[str, str]:
    """The environment of an operator."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {
        **kept,
        "AMP_CLIENT_ID": organisation.client_id,
        "AMP_API_KEY": KEY,
        "AMP_API_HOST": cloud.url,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TERM": "xterm",
    }


def wait_for_post(cloud: LocalCloud) -> None:
    """Until the creation has arrived."""
    deadline = time.monotonic() + DEADLINE_S
    while ("POST", "/v1/event_streams") not in cloud.requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_a_creation_does_not_cost_the_password(
    cloud: LocalCloud, organisation: Organisation, environ: Mapping[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """The answer is waited for, the file is written, and only then the process ends by the signal."""
    cloud.fail(Failure("POST", delay_s=3.0))
    process = subprocess.Popen(
        [*COMMAND, "create", "SIEM", "--save", "siem.yml"],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_post(cloud)
    process.send_signal(number)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "please wait: the cloud's answer holds the one-time password" in said
    assert "created 'SIEM'" in said
    assert yaml.safe_load((tmp_path / "siem.yml").read_text())["password"] == organisation.streams[1].password
    assert os.listdir(tmp_path) == ["siem.yml"]


def test_a_signal_while_a_creation_waits_ends_it(
    cloud: LocalCloud, organisation: Organisation, environ: Mapping[str, str], tmp_path: Path
) -> None:
    """A rate limit that is waited out holds no password: the wait ends, nothing is created, no file is left."""
    limit = too_many_requests(100)
    limit.method = "POST"
    cloud.fail(limit)
    process = subprocess.Popen(
        [*COMMAND, "create", "SIEM", "--save", "siem.yml"],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_post(cloud)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "error [interrupted]" in said
    assert (organisation.streams, os.listdir(tmp_path)) == ({}, [])


def test_ctrl_c_while_looking_ends_at_once(cloud: LocalCloud, environ: Mapping[str, str]) -> None:
    """Without a traceback, in the words of every other interruption."""
    cloud.fail(Failure(delay_s=60))
    process = subprocess.Popen([*COMMAND, "list"], env=environ, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + DEADLINE_S
    while not cloud.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert said.startswith("error [interrupted]: interrupted\n  what to do: ")
    assert len(said.splitlines()) == 2


def test_into_a_file_goes_plain_text(environ: Mapping[str, str], tmp_path: Path) -> None:
    """No colours, no progress, no carriage returns, each row on one line whatever its length."""
    long = "x" * 300
    subprocess.run([*COMMAND, "create", long, "--save", "a.yml"], cwd=tmp_path, env=environ, check=True)
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        subprocess.run([*COMMAND, "list"], env=environ, stdout=out, stderr=err, check=True, timeout=DEADLINE_S)
    text = (tmp_path / "out").read_bytes()
    assert b"\x1b" not in text
    assert b"\r" not in text
    assert len(text.splitlines()) == 2
    assert long.encode() in text
    assert (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize("arguments", [("list",), ("event-types", "--json")])
def test_a_closed_pipe_is_no_error(environ: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    """The reader has what it wanted: no traceback, no complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [*COMMAND, *arguments], env=environ, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_closed_pipe_does_not_cost_the_password(organisation: Organisation, environ: Mapping[str, str]) -> None:
    """What cannot be printed on standard output is printed on standard error, loudly."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [*COMMAND, "create", "SIEM"],
            env=environ,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
        )
    finally:
        os.close(writer)
    assert result.returncode == 69
    assert "KEEP THIS NOW" in result.stderr
    assert organisation.streams[1].password in result.stderr


def test_a_full_disk_is_said(environ: Mapping[str, str]) -> None:
    """What is written nowhere is an error, 69."""
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*COMMAND, "list"], env=environ, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
    assert result.returncode == 69
    assert "error [stdout.closed]: standard output cannot be written: No space left on device" in result.stderr


def test_an_output_that_knows_few_letters_shows_them_escaped(
    organisation: Organisation, environ: Mapping[str, str]
) -> None:
    """A letter that cannot be shown does not cost the password."""
    result = subprocess.run(
        [*COMMAND, "create", "日本"],
        env={**environ, "PYTHONIOENCODING": "latin-1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=DEADLINE_S,
    )
    assert b"\\u65e5\\u672c" in result.stdout
    assert organisation.streams[1].password.encode() in result.stdout


CTRL_C = b"\x03"
PRESSED_AGAIN_S = 2.0
"""Python does not see a signal that comes between a prompt and the reading of the answer."""


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, *arguments: str, environ: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )
        os.close(slave)
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        """Until it shows ``text``."""
        while text not in self.shown:
            self.shown += os.read(self._master, 65536)

    def type(self, text: bytes) -> None:
        """As a user does."""
        os.write(self._master, text)

    def end(self, key: bytes = b"") -> int:
        """Read what is left; the exit code.  ``key`` is pressed until then, as a user would press it again."""
        deadline = time.monotonic() + DEADLINE_S
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                assert time.monotonic() < deadline, self.shown
                self.type(key)
                while select.select([self._master], [], [], PRESSED_AGAIN_S)[0]:
                    self.shown += os.read(self._master, 65536)
        os.close(self._master)
        return self.process.wait(DEADLINE_S)


def test_on_a_terminal_a_wait_is_a_countdown(cloud: LocalCloud, environ: Mapping[str, str]) -> None:
    """The seconds that are left are shown, and gone when it is over."""
    cloud.fail(too_many_requests(3))
    terminal = Terminal("list", environ=environ)
    assert terminal.end() == 0
    seconds = re.findall(rb"the rate limit is used up: waiting (\d) s", terminal.shown)
    assert seconds == sorted(seconds, reverse=True)
    assert 2 <= len(set(seconds)) <= 3, "a busy machine leaves one out"
    assert b"ID" in terminal.shown


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, 1), (b"y\n", 0, 0)])
def test_on_a_terminal_a_user_is_asked(
    organisation: Organisation, environ: Mapping[str, str], tmp_path: Path, answer: bytes, code: int, left: int
) -> None:
    """No is an answer: nothing is deleted, exit code 1."""
    subprocess.run([*COMMAND, "create", "SIEM", "--save", "a.yml"], cwd=tmp_path, env=environ, check=True)
    terminal = Terminal("delete", "SIEM", environ=environ)
    terminal.wait_for(b"[y/N]")
    terminal.type(answer)
    assert terminal.end() == code
    assert len(organisation.streams) == left
    assert (b"nothing was done" in terminal.shown) == (code == 1)


PROMPTS = {
    "delete": ("delete", "SIEM"),
    "abbreviated": ("update", "SIEM", "--event-type", "threat q"),
    "rotate": ("rotate", "SIEM", "--save", "new.yml", "--finish", "--discard"),
    "prune": ("apply", "fleet.yml", "--prune"),
    "fleet": ("apply", "fleet.yml", "--rotate", "acme", "--finish"),
}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_ctrl_c_at_a_prompt_is_an_interruption(
    organisation: Organisation,
    environ: Mapping[str, str],
    tmp_path: Path,
    prompt: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every prompt the same words, and the same exit code; nothing is done."""
    subprocess.run([*COMMAND, "create", "SIEM", "--save", "a.yml"], cwd=tmp_path, env=environ, check=True)
    if prompt == "rotate":
        subprocess.run([*COMMAND, "rotate", "SIEM", "--save", "new.yml"], cwd=tmp_path, env=environ, check=True)
    tenant = {"name": "acme", "client_id": organisation.client_id, "api_key": KEY, "streams": [{"name": "SIEM"}]}
    fleet = {"defaults": {"api_host": environ["AMP_API_HOST"]}, "tenants": [tenant]}
    (tmp_path / "fleet.yml").write_text(yaml.safe_dump(fleet))
    before = dict(organisation.streams)
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(*PROMPTS[prompt], environ=environ)
    terminal.wait_for(b"[y/N]")
    assert terminal.end(CTRL_C) == 130
    assert b"error [interrupted]: interrupted" in terminal.shown
    assert organisation.streams == before


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1)])
def test_the_beginning_of_a_name_is_asked_about(
    organisation: Organisation, environ: Mapping[str, str], tmp_path: Path, answer: bytes, code: int
) -> None:
    """What it is taken for is shown; only a yes makes it so."""
    subprocess.run([*COMMAND, "create", "SIEM", "--save", "a.yml"], cwd=tmp_path, env=environ, check=True)
    terminal = Terminal("update", "SIEM", "--event-type", "threat q", environ=environ)
    terminal.wait_for(b"Is event type 'threat q' Threat Quarantined (553648143)? [y/N]")
    terminal.type(answer)
    assert terminal.end() == code
    assert organisation.streams[1].event_types == ((553648143,) if code == 0 else ())


def test_a_fleet_on_a_terminal_has_a_bar(cloud: LocalCloud, environ: Mapping[str, str], tmp_path: Path) -> None:
    """It moves with the tenants, and the summary is below."""
    organisations = [cloud.add_organisation() for _ in range(5)]
    fleet = tmp_path / "fleet.yml"
    tenants = [
        {"name": f"t{n}", "client_id": one.client_id, "api_key": one.api_key} for n, one in enumerate(organisations)
    ]
    fleet.write_text(
        yaml.safe_dump({"defaults": {"api_host": cloud.url, "streams": [{"name": "SIEM"}]}, "tenants": tenants})
    )
    terminal = Terminal("apply", str(fleet), environ=environ)
    assert terminal.end() == 0
    assert b"tenants" in terminal.shown
    assert b"5 tenants: 5 create" in terminal.shown
