from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.config import load
from fluent_plugin_amp.errors import ConfigError

Write = Callable[[str, str], Path]

STREAM = """
streams:
  - {url: 'amqps://h', username: u, password: '${PW}', queue: q}
"""


def secret(path: Path, environ: dict[str, str] | None = None) -> str:
    """The password of the first stream."""
    return load(path, environ or {}).streams[0].password.get_secret_value()


def test_least(write: Write) -> None:
    """A stream's address and credentials are enough; its name is then its queue."""
    config = load(write("c.yml", STREAM), {"PW": "p"})
    assert (config.streams[0].name, config.streams[0].username) == ("q", "u")
    assert config.streams[0].password.get_secret_value() == "p"
    assert config.warnings == ()


def test_the_environment_is_the_process_own_by_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables come from os.environ unless another environment is given."""
    monkeypatch.setenv("PW", "from the process")
    assert load(str(write("c.yml", STREAM))).streams[0].password.get_secret_value() == "from the process"


def test_a_variable_never_changes_the_structure(write: Write) -> None:
    """A value is put in after the YAML was read."""
    value = "x}, {queue: y # ${PW} 'z'"
    assert secret(write("c.yml", STREAM), {"PW": value}) == value


def test_variables_stand_for_numbers_and_choices(write: Write) -> None:
    """What a variable gives is read as if it stood in the file."""
    text = STREAM + "forward: {servers: [{port: '${PORT}', standby: '${OFF:-false}'}], compress: '${C:-gzip}'}\n"
    server = load(write("c.yml", text), {"PW": "p", "PORT": "5000"}).forward.servers[0]
    assert (server.port, server.standby) == (5000, False)


def test_credentials_in_the_url(write: Write) -> None:
    """User and password before the host are decoded, and leave the url."""
    stream = load(write("c.yml", "streams: [{url: 'amqps://6-a:p%40ss@h:5671/v', queue: q}]"), {}).streams[0]
    assert (stream.url, stream.username, stream.password.get_secret_value()) == ("amqps://h:5671/v", "6-a", "p@ss")


def test_password_file(write: Write) -> None:
    """The file's line end is no part of the password, its spaces are; relative names begin at the file's folder."""
    write("secrets/pw", " p w \r\n")
    path = write("c.yml", "streams: [{url: 'amqps://u@h', password_file: secrets/pw, queue: q}]")
    assert secret(path) == " p w "
    assert load(path, {}).streams[0].password_file == path.parent / "secrets/pw"


@pytest.mark.parametrize("suffix", ["yml", "json"])
def test_credentials_file(write: Write, suffix: str) -> None:
    """The file that amp-streams saves completes a stream, in YAML and in JSON, variables not replaced."""
    saved = {
        "name": "SIEM",
        "id": 6,
        "cloud": {"api": "https://h", "console": "h"},
        "url": "amqps://h:443",
        "username": "6-a",
        "password": "${p}",
        "queue": "event_stream_6",
    }
    write(f"saved.{suffix}", json.dumps(saved, indent=2))
    stream = load(write("c.yml", f"streams: [{{credentials_file: saved.{suffix}}}]"), {}).streams[0]
    assert (stream.name, stream.url, stream.username, stream.queue) == (
        "SIEM",
        "amqps://h:443",
        "6-a",
        "event_stream_6",
    )
    assert stream.password.get_secret_value() == "${p}"


ANSWER = {
    "id": 6,
    "name": "SIEM",
    "group_guids": [],
    "amqp_credentials": {
        "user_name": "6-a",
        "password": "${p}",
        "queue_name": "event_stream_6",
        "host": "export-streaming.eu.amp.cisco.com",
        "port": "443",
        "proto": "https",
    },
}


@pytest.mark.parametrize("answer", [ANSWER, {"version": "v1.2.0", "metadata": {"links": {}}, "data": ANSWER}])
def test_a_credentials_file_may_be_ciscos_own_answer(write: Write, answer: dict[str, object]) -> None:
    """The JSON as the API gave it to whoever created the stream; https means amqps, the host tells the cloud."""
    write("saved.json", json.dumps(answer))
    loaded = load(write("c.yml", "streams: [{credentials_file: saved.json}]"), {})
    (stream,) = loaded.streams
    assert (stream.name, stream.url, stream.username, stream.queue) == (
        "SIEM",
        "amqps://export-streaming.eu.amp.cisco.com:443",
        "6-a",
        "event_stream_6",
    )
    assert stream.password.get_secret_value() == "${p}"
    assert stream.cloud is not None
    assert stream.cloud.api == "eu"


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ({"user_name": "u", "queue_name": "q", "host": "h"}, "without a password: Cisco tells it only in the answer"),
        ({"user_name": "u"}, "no amqp_credentials with user_name and queue_name"),
        ({"user_name": "u", "queue_name": "q", "password": "hunter2"}, "without a host"),
        ({"user_name": "u", "queue_name": "q", "password": "hunter2", "host": "a b"}, "is not a host name"),
    ],
)
def test_an_answer_without_credentials_is_said_so(write: Write, credentials: dict[str, str], said: str) -> None:
    """The answer to a GET has no password, for instance; one mistake, and it is not quoted."""
    saved = write("saved.json", json.dumps({"data": {"id": 6, "name": "S", "amqp_credentials": credentials}}))
    with pytest.raises(ConfigError, match=said) as caught:
        load(write("c.yml", "streams: [{credentials_file: saved.json}]"), {})
    assert f"{saved}:1: Cisco's answer to a creation: " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).count(":1: ") == 1


def test_settings_go_before_the_credentials_file(write: Write) -> None:
    """What the configuration says itself is kept, credentials in its url too."""
    write("saved.yml", "{name: s, url: 'amqps://u:p@saved', queue: saved}")
    write("pw", "from the file")
    text = """
    streams:
      - {credentials_file: saved.yml, name: mine, queue: mine}
      - {credentials_file: saved.yml, url: 'amqps://me:my@mine', name: b}
      - {credentials_file: saved.yml, password_file: pw}
    """
    a, b, c = load(write("c.yml", text), {}).streams
    assert (a.name, a.host, a.username, a.password.get_secret_value(), a.queue) == ("mine", "saved", "u", "p", "mine")
    assert (b.host, b.username, b.password.get_secret_value(), b.queue) == ("mine", "me", "my", "saved")
    assert (c.name, c.password.get_secret_value()) == ("s", "from the file")


def test_included_files(write: Write) -> None:
    """Files hold a stream, a list or `streams:`; they follow the own streams, by name, each once."""
    for name, text in {
        "d/2.yml": "{name: two, url: 'amqps://u:${PW}@h', queue: q}",
        "d/1.yml": "- &a {name: one, url: 'amqps://u:p@h', queue: q}\n- {<<: *a, name: one-b}",
        "d/3.yml": "streams: [{name: three, url: 'amqps://u:p@h', queue: q}]",
        "d/4.yml": "# nothing yet",
        "d/5.yml": "streams:",
        "other.yml": "{name: other, credentials_file: d/saved.json}",
        "d/saved.json": '{"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}',
    }.items():
        write(name, text)
    config = load(write("c.yml", STREAM + "include: [d/*.yml, other.yml, 'd/[12].yml']"), {"PW": "p"})
    assert [stream.name for stream in config.streams] == ["q", "one", "one-b", "two", "three", "other"]
    assert config.include == ("d/*.yml", "other.yml", "d/[12].yml")


def test_only_included_streams(write: Write) -> None:
    """`include` alone is enough, and names in an included file begin at its own folder."""
    write("d/pw", "secret")
    write("d/a.yml", "{url: 'amqps://u@h', password_file: pw, queue: q}")
    assert secret(write("c.yml", "include: d/a.yml")) == "secret"


def test_included_streams_get_the_global_transform(write: Write) -> None:
    """Where a stream stands makes no difference."""
    write("a.yml", "{url: 'amqps://u:p@h', queue: q, add: {x: 1}}")
    stream = load(write("c.yml", "include: a.yml\ntransform: {pulling_id: true, add: {y: 2}}"), {}).streams[0]
    assert stream.transform.pulling_id is True
    assert stream.add == {"y": 2, "x": 1}


def test_file_names_become_absolute(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names begin at the folder of the file, whatever the working directory is later."""
    write("ca.pem", "x")
    path = write("c.yml", STREAM + "forward: {tls: {ca_file: ca.pem}, servers: [{unix_path: f.sock}]}")
    monkeypatch.chdir(path.parent)
    forward = load("c.yml", {"PW": "p"}).forward
    assert forward.tls is not None
    assert forward.tls.ca_file == path.parent / "ca.pem"
    assert forward.servers[0].unix_path == path.parent / "f.sock"


def test_security_from_files(write: Write) -> None:
    """Shared key and password may each have a file."""
    write("key", "k\n")
    write("pw", "p\n")
    text = STREAM + "forward: {security: {shared_key_file: key, username: u, password_file: pw}}"
    security = load(write("c.yml", text), {"PW": "p"}).forward.security
    assert security is not None
    assert security.shared_key.get_secret_value() == "k"
    assert security.password is not None
    assert security.password.get_secret_value() == "p"


def test_anchors(write: Write) -> None:
    """What streams share may be written once."""
    text = """
    streams:
      - &first {name: a, url: 'amqps://u:p@h', queue: q, heartbeat: 20s}
      - {<<: *first, name: b, queue: q2}
    """
    b = load(write("c.yml", text), {}).streams[1]
    assert (b.name, b.queue, b.heartbeat, b.username) == ("b", "q2", 20.0, "u")


def test_loading_is_light() -> None:
    """`run` starts fast: a configuration brings nothing heavier than pydantic and YAML."""
    code = "import sys, fluent_plugin_amp.config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"pika", "httpx", "rich", "click", "ssl", "asyncio", "msgpack"} & set(done.stdout.split())


@pytest.mark.parametrize("listen", ["127.0.0.9:1", "[::1]:1", "localhost:1", "null"])
def test_endpoints_on_loopback(write: Write, listen: str) -> None:
    """What only this machine can reach draws no warning."""
    assert (
        load(
            write("c.yml", STREAM + f"observe: {{listen: '{listen}'}}".replace("'null'", "null")), {"PW": "p"}
        ).warnings
        == ()
    )


# --- warnings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("streams: [{url: 'amqp://u:${PW}@h', queue: q}]", "stream q: amqp:// sends"),
        ("streams: [{url: 'amqps://u:${PW}@h', queue: q, tls: {verify: false}}]", "stream q: tls.verify is false"),
        (STREAM + "forward: {tls: {verify: false}}", "forward: tls.verify is false"),
        (STREAM + "observe: {listen: '0.0.0.0:24280'}", "observe: other machines can reach `listen`"),
        (STREAM + "observe: {listen: 'amp-forwarder:24280'}", "observe: other machines can reach `listen`"),
        (STREAM + "include: d/*.yml", ":4: include: no file matches d/*.yml"),
    ],
)
def test_warnings(write: Write, text: str, warning: str) -> None:
    """What works but is unwise is said, once."""
    warnings = load(write("c.yml", text), {"PW": "p"}).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]


def test_what_many_streams_have_in_common_is_one_warning(write: Write) -> None:
    """Three hundred lines would hide everything else."""
    entries = "".join(
        f"  - {{name: t{n}, url: 'amqp://h', username: u, password: p, queue: q}}\n" for n in range(300)
    )
    path = write("c.yml", f"streams:\n{entries}")
    assert load(path, {}).warnings == (
        "300 streams (t0, t1, t2 …): amqp:// sends password and events without TLS; use amqps://",
    )


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("streams: [{url: 'amqps://h', username: u, password: hunter2, queue: q}]", True),
        ("streams: [{url: 'amqps://u:hunter2@h', queue: q}]", True),
        (STREAM + "forward: {security: {shared_key: hunter2}}", True),
        (STREAM + "forward: {security: {shared_key: '${PW}'}}", False),
        ("streams: [{url: 'amqps://u:${PW}@h', queue: q}]", False),
    ],
)
def test_a_secret_that_others_can_read(write: Write, text: str, warned: bool) -> None:
    """A file with a secret in it draws a warning when every user can read it, without one it does not."""
    path = write("c.yml", text)
    assert load(path, {"PW": "p"}).warnings == ()
    path.chmod(0o644)
    warnings = load(path, {"PW": "p"}).warnings
    assert any(f"{path} holds a secret and can be read by every user" in warning for warning in warnings) == warned
    path.chmod(0o640)
    assert load(path, {"PW": "p"}).warnings == ()


def test_a_key_file_that_others_can_read(write: Write) -> None:
    """So does the file of a secret, whichever key names it, and once."""
    path = write(
        "c.yml",
        "state: {path: s}\ncompleteness: {key_file: key}\nstreams:\n- {url: 'amqps://u:${PW}@h', queue: q,\n"
        "   cloud: eu, api: {client_id: c, api_key_file: key}}",
    )
    key = write("key", "k")
    assert load(path, {"PW": "p"}).warnings == ()
    key.chmod(0o644)
    assert load(path, {"PW": "p"}).warnings == (
        f"{key} holds a secret and can be read by every user: chmod o= {key}",
    )


def test_a_credentials_file_that_others_can_read(write: Write) -> None:
    """Included files and credentials files are looked at too; there, a `${` is no variable."""
    saved = write("saved.yml", "{url: 'amqps://h', username: u, password: '${PW}', queue: q}")
    saved.chmod(0o644)
    warnings = load(write("c.yml", "streams: [{credentials_file: saved.yml}]"), {}).warnings
    assert len(warnings) == 1
    assert str(saved) in warnings[0]


def test_no_secret_in_a_loaded_configuration(write: Write) -> None:
    """Wherever a secret came from, no text of the configuration holds it."""
    write("pw", "hunter2")
    text = """
    streams:
      - {name: a, url: 'amqp://u:hunter2@h', queue: q, tls: {}}
      - {name: b, url: 'amqps://u@h', password_file: pw, queue: q}
      - {name: c, url: 'amqps://u@h', password: '${PW}', queue: q}
    """
    path = write("c.yml", text)
    path.chmod(0o644)
    config = load(path, {"PW": "hunter2"})
    assert len(config.warnings) == 2
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json() + str(config.warnings)


def test_the_error_ends_the_program_as_a_configuration_error(write: Write) -> None:
    """Exit code and id are those of the reference."""
    with pytest.raises(ConfigError) as refused:
        load(write("c.yml", "streams: []"), {})
    assert (refused.value.exit_code, refused.value.id) == (78, "config.invalid")
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_the_state_file_is_found_from_the_configuration(write: Write) -> None:
    """A relative name begins at the folder of the file that holds it; the file need not be there."""
    path = write("c.yml", STREAM + "state: {path: state/amp.db}\n")
    assert load(path, {"PW": "p"}).state.path == path.parent / "state/amp.db"
