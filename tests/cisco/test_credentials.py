"""Credentials files: their formats, and saving that cannot lose a password."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.answers import AmqpCredentials, EventStream
from fluent_plugin_amp.cisco.credentials import FORMATS, StreamCredentials, read, render, reserve
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable
from fluent_plugin_amp.cisco.regions import find_cloud

PASSWORD = "0123456789abcdef0123456789abcdef01234567"
SIEM = StreamCredentials.of(
    EventStream(
        6,
        "Zürich “SIEM” #1: it's",
        amqp=AmqpCredentials("6-0123456789abcdef0123", "event_stream_6", None, 443, "https", PASSWORD),
    ),
    find_cloud("eu"),
)


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["yaml", "json"])
def test_the_configuration_takes_yaml_and_json_as_they_are(format_: str, tmp_path: Path) -> None:
    """All keys of ``credentials_file:``, the broker as one amqps URL."""
    text = render(SIEM, format_)
    assert yaml.safe_load(text) == {
        "name": "Zürich “SIEM” #1: it's",
        "id": 6,
        "cloud": "eu",
        "url": "amqps://export-streaming.eu.amp.cisco.com:443",
        "username": "6-0123456789abcdef0123",
        "password": PASSWORD,
        "queue": "event_stream_6",
    }
    if format_ == "json":
        json.loads(text)
    path = tmp_path / "s"
    path.write_text(text, "utf-8")
    assert read(path) == SIEM


def test_environment_lines_are_understood_by_a_shell() -> None:
    """Sourcing them sets four variables; values that need no quotes have none, for Docker and systemd."""
    text = render(SIEM, "env")
    names = ["URL", "USERNAME", "PASSWORD", "QUEUE"]
    script = f"set -e\n{text}\n" + "\n".join(f'echo "$AMP_STREAM_{name}"' for name in names)
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [SIEM.url, SIEM.username, PASSWORD, SIEM.queue]
    assert "'" not in text.split("\n", 1)[1]


def test_a_kubernetes_secret_holds_the_whole_file_and_its_parts() -> None:
    """Mounted as stream.yml it is a credentials file; the parts are there for environment variables."""
    secret = yaml.safe_load(render(SIEM, "kubernetes"))
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque")
    assert secret["metadata"] == {"name": "amp-stream-zurich-siem-1-it-s"}
    assert yaml.safe_load(secret["stringData"]["stream.yml"]) == SIEM.as_dict()
    assert secret["stringData"]["password"] == PASSWORD
    assert all(isinstance(value, str) for value in secret["stringData"].values())


@given(
    st.text(min_size=1) | st.text("\x85\u2028\ufeff\x7f\x00\x1b\n\r\t #:'\"\\\u00fc\U0001f600-", min_size=1),
    st.sampled_from(sorted(FORMATS)),
)
def test_any_name_survives_every_format(name: str, format_: str) -> None:
    """No name of a stream breaks the file that it is written to, nor adds a line of its own."""
    named = StreamCredentials(name, 6, "eu", SIEM.url, SIEM.username, PASSWORD, SIEM.queue)
    text = render(named, format_)
    if format_ == "env":
        assert [line for line in text.splitlines() if not line.startswith("#")] == [
            f"AMP_STREAM_{key}={shlex.quote(value)}"
            for key, value in zip(
                ("URL", "USERNAME", "PASSWORD", "QUEUE"), (SIEM.url, SIEM.username, PASSWORD, SIEM.queue), strict=True
            )
        ]
        return
    found: Any = yaml.safe_load(text)
    if format_ == "kubernetes":
        found = yaml.safe_load(found["stringData"]["stream.yml"])
    assert found == named.as_dict()


def test_a_private_cloud_is_written_out() -> None:
    """``cloud:`` of a private cloud says where its API and console are, and who signed for them."""
    stream = EventStream(6, "SIEM", amqp=AmqpCredentials("u", "q", "amp.example.com", 443, "https", PASSWORD))
    saved = StreamCredentials.of(stream, find_cloud("amp.example.com:8443", ca_file="/etc/ca.pem"))
    assert saved.cloud == {
        "api": "https://amp.example.com:8443",
        "console": "amp.example.com",
        "ca_file": "/etc/ca.pem",
    }
    assert saved.url == "amqps://amp.example.com:443"


def test_the_password_does_not_show() -> None:
    """Not in the repr."""
    assert PASSWORD not in repr(SIEM)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"password: [hunter2", "neither YAML nor JSON"),
        (b"\xff", "neither YAML nor JSON"),
        (b"password: hunter2\nid: 2026-13-45", "neither YAML nor JSON"),
        (b"password: hunter2\nid: !!bool maybe", "neither YAML nor JSON"),
        (b"password: hunter2\nid: !!timestamp never", "neither YAML nor JSON"),
        (b"hunter2", "not a credentials file"),
        (b"password: hunter2", "not a credentials file: name, id, cloud"),
    ],
)
def test_a_file_that_holds_no_credentials_is_refused_unquoted(tmp_path: Path, content: bytes, said: str) -> None:
    """What is wrong is said without showing anything of the file."""
    path = tmp_path / "s.yml"
    path.write_bytes(content)
    with pytest.raises(CredentialsFileUnusable, match=said) as caught:
        read(path)
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the system's words."""
    with pytest.raises(CredentialsFileUnusable, match="No such file"):
        read(tmp_path / "missing.yml")


# --- Cisco's own answer --------------------------------------------------------------------------

ANSWER: dict[str, Any] = {
    "version": "v1.2.0",
    "metadata": {"links": {"self": "https://api.eu.amp.cisco.com/v1/event_streams"}},
    "data": {
        "id": 6,
        "name": "Zürich “SIEM” #1: it's",
        "amqp_credentials": {
            "user_name": "6-0123456789abcdef0123",
            "password": PASSWORD,
            "queue_name": "event_stream_6",
            "host": "export-streaming.eu.amp.cisco.com",
            "port": "443",
            "proto": "https",
        },
    },
}


@pytest.mark.parametrize("answer", [ANSWER, ANSWER["data"]])
def test_ciscos_own_answer_is_as_good_as_a_saved_file(answer: dict[str, Any], tmp_path: Path) -> None:
    """As it came, or only its data: the cloud is known by the broker's host."""
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer, indent=2), "utf-8")
    assert read(path) == SIEM


@given(
    st.dictionaries(
        st.sampled_from(["id", "name", "amqp_credentials", "data", "url", "password", "queue", "username", "cloud"]),
        st.none()
        | st.text(max_size=5)
        | st.integers()
        | st.lists(st.integers(), max_size=2)
        | st.fixed_dictionaries(
            {"user_name": st.text() | st.none(), "queue_name": st.just("q") | st.just(5)},
            optional={"password": st.text() | st.none(), "host": st.text() | st.none(), "port": st.text()},
        ),
    )
)
def test_no_file_is_too_strange(found: dict[str, Any]) -> None:
    """Credentials, or the error by name."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(found))
        file.flush()
        with contextlib.suppress(CredentialsFileUnusable):
            assert isinstance(read(Path(file.name)).url, str)


# --- saving --------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    """Everything in the folder, hidden files too."""
    return sorted(os.listdir(folder))


def test_a_saved_file_is_whole_and_private(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, the content as given, and nothing else left behind."""
    path = tmp_path / "s.yml"
    before = os.umask(0)
    try:
        with reserve(path) as file:
            assert not path.exists()
            file.commit("gehäim\n")
            assert files(tmp_path) == ["s.yml"]
    finally:
        os.umask(before)
    assert path.read_text("utf-8") == "gehäim\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files(tmp_path) == ["s.yml"]


def test_a_reservation_is_private_from_the_start(tmp_path: Path) -> None:
    """What is reserved is readable by nobody else, and takes the space that will be needed."""
    with reserve(tmp_path / "s.yml"):
        (hidden,) = tmp_path.iterdir()
        assert stat.S_IMODE(hidden.stat().st_mode) == 0o600
        assert hidden.stat().st_size >= 4096
        assert hidden.name.startswith(".s.yml.")


def test_without_a_commit_nothing_remains(tmp_path: Path) -> None:
    """A creation that fails leaves no file."""
    with pytest.raises(RuntimeError), reserve(tmp_path / "s.yml"):
        raise RuntimeError
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_what_exists_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    """It may hold another stream's password."""
    path = tmp_path / "s.yml"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CredentialsFileUnusable, match="exists already"):
        reserve(path)
    assert files(tmp_path) == ["s.yml"]


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Two runs with the same name: the second is told, and keeps its own password to print."""
    path = tmp_path / "s.yml"
    with reserve(path) as file:
        path.write_text("precious")
        with pytest.raises(FileExistsError):
            file.commit("new")
    assert path.read_text() == "precious"
    assert files(tmp_path) == ["s.yml"]


def test_replacing_is_possible_where_it_is_asked_for(tmp_path: Path) -> None:
    """Atomically, with the new content and mode."""
    path = tmp_path / "s.yml"
    path.write_text("old")
    with reserve(path, replace=True) as file:
        file.commit("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files(tmp_path) == ["s.yml"]
    with pytest.raises(CredentialsFileUnusable, match="is a folder"):
        reserve(tmp_path, replace=True)


@pytest.mark.parametrize("where", ["no/such/folder/s.yml", "file/s.yml", "x" * 300])
def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path, where: str) -> None:
    """A missing folder, a file in its place, a name too long."""
    (tmp_path / "file").touch()
    with pytest.raises(CredentialsFileUnusable, match="cannot be written: ") as caught:
        reserve(tmp_path / where)
    assert "nothing was created in the cloud" in caught.value.remedy


def test_a_full_disk_is_noticed_before_anything_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space is taken when it is reserved."""

    def full(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(CredentialsFileUnusable, match="No space left"):
            reserve(tmp_path / "s.yml")
    assert files(tmp_path) == []


def test_a_file_system_without_links_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a hard link is refused, the file is renamed."""

    def refuse(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with reserve(tmp_path / "s.yml") as file:
        file.commit("text")
    assert files(tmp_path) == ["s.yml"]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a few bytes at a time gets them all."""
    write = os.write
    with monkeypatch.context() as patch, reserve(tmp_path / "s.yml") as file:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
        file.commit("all of this text")
    assert (tmp_path / "s.yml").read_text() == "all of this text"
