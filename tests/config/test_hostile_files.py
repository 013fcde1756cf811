"""Files that are not what they should be: each is a mistake like any other, and reading ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.config import document, gather, load, reading
from fluent_plugin_amp.errors import ConfigError, ConfigUnreadable
from tests.config.test_load_mistakes import mistakes

Write = Callable[[str, str], Path]

STREAM = "streams: [{url: 'amqps://u:p@h', queue: q}]"
NO_FILE = "not a regular file, but a pipe, a socket or a device"
LARGE = "larger than the 4096 KiB that are read"
LARGE_SECRET = "larger than the 64 KiB that are read"

KEYS = {
    "include": f"{STREAM}\ninclude: x",
    "include with a pattern": f"{STREAM}\ninclude: 'x*'",
    "credentials_file": "streams:\n- credentials_file: x",
    "password_file": "streams:\n- {url: 'amqps://u@h', queue: q, password_file: x}",
    "tls.ca_file": "streams:\n- {url: 'amqps://u:p@h', queue: q, tls: {ca_file: x}}",
    "tls.cert_file": "streams:\n- {url: 'amqps://u:p@h', queue: q, tls: {cert_file: x}}",
    "tls.key_file": "streams:\n- {url: 'amqps://u:p@h', queue: q, tls: {cert_file: c.yml, key_file: x}}",
    "api.api_key_file": "streams:\n- {url: 'amqps://u:p@h', queue: q, api: {client_id: c, api_key_file: x}}",
    "cloud.ca_file": "streams:\n- {url: 'amqps://u:p@h', queue: q, cloud: {api: h.example, ca_file: x}}",
    "forward.tls.ca_file": f"{STREAM}\nforward: {{tls: {{ca_file: x}}}}",
    "forward.security.shared_key_file": f"{STREAM}\nforward: {{security: {{shared_key_file: x}}}}",
    "forward.security.password_file":
        f"{STREAM}\nforward: {{security: {{shared_key: k, username: u, password_file: x}}}}",
    "transform.obfuscate[0].key_file":
        f"{STREAM}\ntransform: {{obfuscate: [{{field: f, method: hash, key_file: x}}]}}",
}  # fmt: skip
"""Every key that names a file, with a configuration that names ``x``."""


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "loop", "large"])
def test_whatever_a_key_names(key: str, kind: str, write: Write, tmp_path: Path) -> None:
    """Reading ends with one mistake, at the place that names the file."""
    path = tmp_path / "x"
    match kind:
        case "fifo":
            os.mkfifo(path)
            reason = NO_FILE
        case "device":
            path.symlink_to("/dev/zero")
            reason = NO_FILE
        case "folder":
            path.mkdir()
            reason = "Is a directory"
        case "loop":
            path.symlink_to("x")
            reason = "Too many levels of symbolic links"
        case _:
            with path.open("wb") as file:
                file.truncate(100 << 20)
            reason = LARGE_SECRET if "password" in key or ("key_file" in key and "tls" not in key) else LARGE
    if key == "include with a pattern" and kind == "folder":
        assert load(write("c.yml", KEYS[key]), {}).warnings  # a pattern matches files only
        return
    if key == "include" and kind == "folder":
        reason = "x is a folder; its files are x/*.yml"
    (mistake,) = mistakes(write("c.yml", KEYS[key]))
    assert mistake.startswith("c.yml:2: ")
    assert reason in mistake


@pytest.mark.parametrize("kind", ["fifo", "large"])
def test_the_file_itself(kind: str, tmp_path: Path) -> None:
    """The same holds for what `-c` names."""
    path = tmp_path / "c.yml"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(100 << 20)
    with pytest.raises(ConfigUnreadable, match=NO_FILE if kind == "fifo" else LARGE):
        load(path, {})


def bomb(first: str, later: str) -> str:
    """Lines of aliases, each nine times the one before: 9^11 values in all."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {later.format(','.join([f'*a{n - 1}'] * 9))}" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 3000, "nests deeper than 64 levels"),
        ("- " * 3000, "nests deeper than 64 levels"),
        ("{a: " * 3000, "nests deeper than 64 levels"),
        ("\n".join(" " * n + "a:" for n in range(3000)), "nests deeper than 64 levels"),
        (bomb("[x, y]", "[{}]"), "holds more than 1000 values, aliases followed"),
        (bomb("{x: y}", "{{<<: [{}]}}"), "holds more than 1000 values, aliases followed"),
        ("[" + "x," * 1000 + "]", "holds more than 1000 values, aliases followed"),
        ("a: &a [*a]", "an alias that contains itself"),
        (r'a: "\ud800"', "half a surrogate pair"),
        (r'"\udc00": a', "a key that is not a plain text"),
    ],
)
def test_hostile_yaml(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take memory, time or the stack without end is a mistake."""
    monkeypatch.setattr(document, "MAX_VALUES", 1000)
    _, problems = document.parse(text, "f")
    assert [problem.text for problem in problems] == [words]


def test_as_deep_as_it_may_be() -> None:
    """One level less is read."""
    assert document.parse("[" * document.MAX_DEPTH + "]" * document.MAX_DEPTH, "f")[1] == []
    assert document.parse("[" * (document.MAX_DEPTH + 1) + "]" * (document.MAX_DEPTH + 1), "f")[1] != []


def test_a_file_of_another_kind(write: Write) -> None:
    """Of thousands of mistakes the first hundred are told."""
    with pytest.raises(ConfigError) as refused:
        load(write("c.yml", STREAM + "\n" + "\n".join(f"x{n}: {n}" for n in range(1000))), {})
    head, first, *_, last = str(refused.value).split("\n")
    assert head == "1000 mistakes in the configuration:"
    assert first.endswith("c.yml:2: x0: unknown key")
    assert last == "  … and 900 more"


def test_too_many_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are included is bounded, and how much they hold together."""
    monkeypatch.setattr(gather, "MAX_INCLUDED", 2)
    for name in "abc":
        write(f"d/{name}.yml", f"{{url: 'amqps://u:p@h', queue: {name}}}")
    path = write("c.yml", "include: d/*.yml")
    assert mistakes(path) == ["c.yml:1: include: more than 2 files: only the first of them are read"]
    monkeypatch.setattr(gather, "MAX_INCLUDED", 3)
    monkeypatch.setattr(reading, "MAX_TOTAL_BYTES", 100)
    assert mistakes(path)[0].endswith("not read: the configuration's files hold more than 0 MiB together")


def test_a_variable_that_is_not_utf_8(write: Write) -> None:
    """The environment holds bytes; a mistake names the variable, not what it holds."""
    text = "streams: [{url: 'amqps://u@h', queue: q, password: '${PW}', username: '${PW:-x}'}]"
    with pytest.raises(ConfigError) as refused:
        load(write("c.yml", text), {"PW": os.fsdecode(b"s\xe9same")})
    assert "c.yml:1: streams[0].password: the environment variable PW is not UTF-8" in str(refused.value)
    assert "same" not in str(refused.value)
    str(refused.value).encode()
