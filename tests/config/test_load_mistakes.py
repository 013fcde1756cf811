"""Every mistake in one go, each with its place, and never a secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.config import load
from fluent_plugin_amp.config.keys import keys_of
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.errors import ConfigError, ConfigUnreadable

Write = Callable[[str, str], Path]

GOOD = "{url: 'amqps://u:p@h', queue: q}"


NOT_SET = "is not set; a default is written ${NAME:-default}"
NO_FILE = "cannot be read: No such file or directory"
FLOW = "not YAML: while parsing a flow node, expected the node content, but found '<stream end>'"
EMPTY = "empty: what begins with # is a comment, and with & an anchor; put it in quotes"
DURATION = "must be a duration, such as 250ms, 10s, 5m, 1h or 2d; a bare number counts seconds"
PATTERN = "must be a file pattern such as streams.d/*.yml, or a list of them"


def mistakes(path: Path) -> list[str]:
    """The lines of the error without the folder of the test."""
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    head, *lines = str(refused.value).split("\n")
    count = f"{len(lines)} mistakes" if len(lines) > 1 else "1 mistake"
    assert head == f"{count} in the configuration:"
    return [line.removeprefix("  ").replace(f"{path.parent}/", "") for line in lines]


def test_ten_mistakes_at_once(write: Write, tmp_path: Path) -> None:
    """A file with ten mistakes is reported whole, in the order of its lines, and so is what it includes."""
    write("d/a.yml", "- url: amqps://u:p@h\n  queue: q\n  heartbeat: 1y\n- 7\n")
    text = """\
streams:
  - url: amqps://6-abc:hunter2@h/a/b
    queue: event_stream_6
    prefetch_cout: 5
    prefetch_count: 70000
    heartbeat: 0
    heartbeat: 20s
    tls: {verify: maybe, ca_file: none.pem}
    password: ${NOPE}
  - name: q
    url: amqps://h
    username: 6
    password_file: hunter2
    queue: q
include: [d/*.yml, absent.yml]
forward:
  compress: gzp
  pulling_id: true
loging: {}
"""
    assert mistakes(write("c.yml", text)) == [
        "c.yml:2: streams[0].url: has a virtual host with a / in it: write %2F",
        "c.yml:4: streams[0].prefetch_cout: unknown key; did you mean `prefetch_count`?",
        "c.yml:5: streams[0].prefetch_count: must be at most 65535",
        "c.yml:6: streams[0].heartbeat: must be at least 1s: without heartbeats a broker that hangs is never noticed",
        "c.yml:7: streams[0].heartbeat: given twice; first on line 6",
        f"c.yml:8: streams[0].tls.ca_file: none.pem {NO_FILE}",
        "c.yml:8: streams[0].tls.verify: must be true or false",
        "c.yml:9: streams[0].password: the environment variable NOPE " + NOT_SET,
        "c.yml:9: streams[0].password: given twice, here and in `url`",
        "c.yml:12: streams[1].username: must be a text: put it in quotes",
        f"c.yml:13: streams[1].password_file: the file {NO_FILE} (relative names begin at {tmp_path})",
        "c.yml:15: include: there is no file absent.yml",
        "c.yml:17: forward.compress: must be `none` or `gzip`; did you mean `gzip`?",
        "c.yml:18: forward.pulling_id: unknown key; "
        "`pulling_id` belongs under `transform` or under `streams[].transform`",
        "c.yml:19: loging: unknown key; did you mean `logging`?",
        "d/a.yml:2: [0].name: `q` is the name of another stream too (c.yml:10)",
        f"d/a.yml:3: [0].heartbeat: {DURATION}",
        "d/a.yml:4: streams[3]: must be a mapping (key: value)",
    ]


def test_an_unreadable_file(tmp_path: Path) -> None:
    """A configuration that is not there has an error of its own."""
    with pytest.raises(ConfigUnreadable, match=r"c\.yml cannot be read: No such file") as refused:
        load(tmp_path / "c.yml", {})
    assert refused.value.id == "config.unreadable"
    assert refused.value.exit_code == 78
    with pytest.raises(ConfigUnreadable, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    """A file in another encoding is refused, not guessed."""
    (tmp_path / "c.yml").write_bytes(b"streams: [\xe9]")
    with pytest.raises(ConfigUnreadable, match=r"c\.yml is not UTF-8"):
        load(tmp_path / "c.yml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["c.yml:1: streams: no stream is configured: list it here, or include its file"]),
        ("streams: []", ["c.yml:1: streams: no stream is configured: list it here, or include its file"]),
        ("a\nb", ["c.yml:1: must be a mapping (key: value)"]),
        ("streams: [", [f"c.yml:1: {FLOW}"]),
        (f"streams: {GOOD}", ["c.yml:1: streams: must be a list"]),
        ("streams: [x]", ["c.yml:1: streams[0]: must be a mapping (key: value)"]),
        (
            "streams: [{}]",
            [
                "c.yml:1: streams[0].url: missing; give it here or through `credentials_file`",
                "c.yml:1: streams[0].username: missing; give it here, in `url`, or through `credentials_file`",
                "c.yml:1: streams[0].password: missing; give it here, in `url`, as `password_file`, or through "
                "`credentials_file`",
                "c.yml:1: streams[0].queue: missing; give it here or through `credentials_file`",
            ],
        ),
        (f"streams: [{GOOD}, {GOOD}]", ["c.yml:1: streams[1].name: `q` is the name of another stream too (c.yml:1)"]),
        ("streams: [{url: 'amqps://u:p@h', queue: ''}]", ["c.yml:1: streams[0].queue: must not be empty"]),
        (f"streams: [{{url: 'amqps://u:p@h', queue: {'q' * 256}}}]", [
            "c.yml:1: streams[0].queue: must be at most 255 bytes long"
        ]),
        ("streams: [{url: 5, queue: q, username: u, password: 5}]", [
            "c.yml:1: streams[0].url: must be a text: put it in quotes",
            "c.yml:1: streams[0].password: must be a text: put it in quotes",
        ]),
        ("streams: [{url: 'amqps://u@h', queue: q, password: [x]}]", [
            "c.yml:1: streams[0].password: must be a text"
        ]),
        ("streams: [{url: 'amqps://u@h', queue: q, password: p, password_file: f}]", [
            "c.yml:1: streams[0].password_file: given together with `password`: use only one of them"
        ]),
        ("streams: [{credentials_file: 5}]", ["c.yml:1: streams[0].credentials_file: must be a file's name"]),
        ("streams: [{credentials_file: ''}]", ["c.yml:1: streams[0].credentials_file: must be a file's name"]),
        ("streams: [{url: '${NOPE}', queue: q}]", [
            "c.yml:1: streams[0].url: the environment variable NOPE " + NOT_SET
        ]),
        ("streams: ['${NOPE}']\ninclude: ['${NOPE}']", [
            f"c.yml:1: streams[0]: the environment variable NOPE {NOT_SET}",
            f"c.yml:2: include[0]: the environment variable NOPE {NOT_SET}",
        ]),
        ("include: ['${NOPE}']", [f"c.yml:1: include[0]: the environment variable NOPE {NOT_SET}"]),
        ("streams: [{url: 'amqps://u@h', queue: q, password_file: [p]}]", [
            "c.yml:1: streams[0].password_file: must be a file's name"
        ]),
        ("streams: [{credentials_file: f}]", [
            f"c.yml:1: streams[0].credentials_file: f {NO_FILE}"
        ]),
        ('streams: [{credentials_file: "a\\0b"}]', ["c.yml:1: streams[0].credentials_file: must be a file's name"]),
    ],
)  # fmt: skip
def test_streams(write: Write, text: str, expected: list[str]) -> None:
    """Mistakes in the list of streams; nothing follows from a mistake that was reported."""
    assert mistakes(write("c.yml", text)) == expected


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ("[]", ["saved.yml:1: must be a mapping (key: value)"]),
        ("", ["saved.yml:1: must be a mapping (key: value)"]),
        ("url: *hunter2", ["saved.yml:1: not YAML: found undefined alias …; put it in quotes"]),
        ("url: amqps://h\nuser: u\nusername: u\npassword: hunter2\nqueue: q", [
            "saved.yml:2: user: unknown key; a credentials file holds url, username, password, queue, name"
        ]),
        ("url: amqps://h\nusername: u\npassword: 7\nqueue: q", [
            "saved.yml:3: streams[0].password: must be a text: put it in quotes"
        ]),
        ("url: amqps://u:hunter2@h\nusername: u\nqueue: q", [
            "saved.yml:2: username: given twice, here and in `url`"
        ]),
        ("url: amqps://u:hunter2@h", [
            "c.yml:1: streams[0].queue: missing; give it here or through `credentials_file`"
        ]),
    ],
)  # fmt: skip
def test_credentials_files(write: Write, saved: str, expected: list[str]) -> None:
    """A mistake in a credentials file is reported there."""
    write("saved.yml", saved)
    assert mistakes(write("c.yml", "streams: [{credentials_file: saved.yml}]")) == expected


@pytest.mark.parametrize(
    ("include", "files", "expected"),
    [
        ("7", {}, [f"c.yml:2: include: {PATTERN}"]),
        ("[7]", {}, [f"c.yml:2: include: {PATTERN}"]),
        ("''", {}, [f"c.yml:2: include: {PATTERN}"]),
        ("${NOPE}", {}, ["c.yml:2: include: the environment variable NOPE " + NOT_SET]),
        ("a.yml", {}, ["c.yml:2: include: there is no file a.yml"]),
        ("'*.yml'", {}, ["c.yml:2: include: *.yml matches this file itself"]),
        ("a.yml", {"a.yml": "x: [", "b.yml": ""}, [f"a.yml:1: {FLOW}"]),
        ("a.yml", {"a.yml": "hello"}, ["a.yml:1: must hold a stream, or a list of streams"]),
        ("a.yml", {"a.yml": "streams: 7"}, ["a.yml:1: must hold a stream, or a list of streams"]),
        ("a.yml", {"a.yml": f"streams: [{GOOD}]\nlogging: {{}}"}, [
            "a.yml:2: logging: unknown key: an included file with `streams` holds nothing else"
        ]),
        ("[a.yml, b.yml]", {"a.yml": GOOD, "b.yml": GOOD}, [
            "b.yml:1: name: `q` is the name of another stream too (a.yml:1)"
        ]),
        ("a.yml", {"a.yml": "\n\nqueu: q\nurl: amqps://u:p@h"}, [
            "a.yml:3: queue: missing; give it here or through `credentials_file`",
            "a.yml:3: queu: unknown key; did you mean `queue`?",
        ]),
    ],
)  # fmt: skip
def test_includes(write: Write, include: str, files: dict[str, str], expected: list[str]) -> None:
    """Problems of includes and of included files; what they would have brought is not missed besides."""
    for name, text in files.items():
        write(name, text)
    assert mistakes(write("c.yml", f"# c\ninclude: {include}")) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("url: amqps://u:p/w@h:443\n  queue: q", [
            "c.yml:2: streams[0].url: has no valid host and port; in user and password write "
            ": / ? # @ % as %3A %2F %3F %23 %40 %25",
        ]),
        ("url: amqps://u@h\n  queue: q\n  password: #b", [
            f"c.yml:4: streams[0].password: {EMPTY}",
        ]),
        ("url: amqps://u@h\n  queue: q\n  password: &b", [
            f"c.yml:4: streams[0].password: {EMPTY}",
        ]),
        ("credentials_file: answer.json", [
            "answer.json:1: Cisco's answer to a creation: no amqp_credentials with user_name and queue_name",
        ]),
        ("credentials_file: other.yml", [
            "other.yml:2: user: unknown key; a credentials file holds url, username, password, queue, name",
        ]),
        ("url: amqps://u@h\n  queue: q\n\tpassword: x", [
            r"c.yml:4: not YAML: while scanning for the next token, found character '\t' that cannot start any "
            "token; indent with spaces, and put a value with a tab in quotes",
        ]),
        ("url: amqps://u@h\n  queue: q\n  password: {x\n", [
            "c.yml:6: not YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>' "
            "(it began on line 4)",
        ]),
    ],
)  # fmt: skip
def test_the_cause_and_nothing_else(keys: str, expected: list[str], write: Write) -> None:
    """What follows from a mistake is no second one, and what YAML makes of a password is said."""
    write("answer.json", '{"data": {"id": 6, "name": "SIEM"}, "version": "v1"}')
    write("other.yml", "url: amqps://h\nuser: u")
    assert mistakes(write("c.yml", f"streams:\n- {keys}\n")) == expected


@pytest.mark.parametrize(
    ("value", "is_cut"),
    [("a #b", True), ("a# b", False), ("'a #b'", False), ('"a" # a comment', False), ("a # a comment", True),
     ("${PW:-x} # from the environment", False), ("a#b", False)],
)  # fmt: skip
def test_a_secret_that_yaml_cut(value: str, is_cut: bool, write: Write) -> None:
    """A password may end where YAML saw a comment: that is a warning, with the place and without the value."""
    config = load(write("c.yml", f"streams:\n- url: amqps://u@h\n  queue: q # ours\n  password: {value}\n"), {})
    said = (
        "c.yml:4: streams[0].password: what follows ` #` is a comment and not part of the value; "
        "if it should be, put the whole value in quotes"
    )
    assert [warning.rpartition("/")[2] for warning in config.warnings] == [said] * is_cut


def test_an_included_file_that_is_not_utf_8(write: Write) -> None:
    """The reason is given where the file is included."""
    write("a.yml", "").write_bytes(b"\xff\xff")
    assert mistakes(write("c.yml", "include: a.yml")) == ["c.yml:1: include: a.yml is not UTF-8"]


def test_an_included_mistake_beside_a_good_stream(write: Write) -> None:
    """The own streams are judged as well when an include fails."""
    found = mistakes(write("c.yml", f"streams: [{GOOD}, {{url: x, queue: r}}]\ninclude: a.yml"))
    assert found[0] == "c.yml:1: streams[1].url: must begin with amqps:// (or amqp:// for a broker without TLS)"
    assert found[-1] == "c.yml:2: include: there is no file a.yml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory_limit: 1m", "memory_limit: must be a size, such as 64KiB, 1MiB or 10MB; a bare number counts bytes"),
        ("forward: 5", "forward: must be a mapping (key: value)"),
        ("forward: {servers: {host: h}}", "forward.servers: must be a list"),
        ("forward: {servers: []}", "forward.servers: must not be empty"),
        (
            "forward: {servers: [{host: h:1}]}",
            "forward.servers[0].host: must be a host name or an address; `port` is a key of its own",
        ),
        (
            "forward: {servers: [{host: a..b}]}",
            "forward.servers[0].host: must be a host name or an address: a part of it is empty or too long",
        ),
        (
            'forward: {tls: {server_name: ".b"}}',
            "forward.tls.server_name: must be a host name or an address: a part of it is empty or too long",
        ),
        (
            "forward: {pause_after: 26m}",
            "forward.pause_after: must be at most 25m: "
            "after 30 minutes the broker takes unacknowledged events back by itself",
        ),
        ("forward: {security: {}}", "forward.security.shared_key: missing; give it here or as `shared_key_file`"),
        (
            "forward: {security: {shared_key_file: nokey}}",
            f"forward.security.shared_key_file: the file {NO_FILE} (relative names begin at DIR)",
        ),
        ("forward: {security: {shared_key_file: empty}}", "forward.security.shared_key_file: the file is empty"),
        ("forward: {tls: {cert_file: nope.pem}}", f"forward.tls.cert_file: nope.pem {NO_FILE}"),
        ("forward: {tls: {cert_file: [nope.pem]}}", "forward.tls.cert_file: must be a file's name"),
        ("forward: {chunkLimitSize: 1MiB}", "forward.chunkLimitSize: unknown key; did you mean `chunk_limit_size`?"),
        ("transform: {flatten: true}", "transform.flatten: must be a mapping (key: value); `{}` turns it on"),
        ("transform: {flatten: false}", "transform.flatten: must be a mapping (key: value); null turns it off"),
        ("detections: true", "detections: must be a mapping (key: value); `{}` turns it on"),
        ("forward: {tls: true}", "forward.tls: must be a mapping (key: value); `{}` turns it on"),
        ("forward: {security: true}", "forward.security: must be a mapping (key: value)"),
        ("observe: true", "observe: must be a mapping (key: value)"),
        ("transform: {flatten: {list: json}}", "transform.flatten.list: unknown key; did you mean `lists`?"),
        (
            "transform: {flatten: {lists: indx}}",
            "transform.flatten.lists: must be `json` or `index` or `keep`; did you mean `index`?",
        ),
        ("transform: {add: x}", "transform.add: must be a mapping (key: value)"),
        ("transform: {add: {a: .nan}}", "transform.add: must not hold .nan or .inf"),
        ("transform: {drop_event_types: Policy Update}", "transform.drop_event_types: must be a list"),
        (
            "transform: {drop_event_types: [nothing like it]}",
            "transform.drop_event_types[0]: no event type is called 'nothing like it'",
        ),
        ("host: h", "host: unknown key; `host` belongs under `forward.servers[]`"),
        ("something: else", "something: unknown key"),
        ("logging: {level: loud}", "logging.level: must be `debug` or `info` or `warning` or `error`"),
        ("logging: {level: 7}", "logging.level: must be `debug` or `info` or `warning` or `error`"),
    ],
)  # fmt: skip
def test_words(write: Write, text: str, expected: str) -> None:
    """Each kind of mistake has plain words, and nothing is said besides."""
    write("empty", "\n")
    path = write("c.yml", f"streams: [{GOOD}]\n{text}")
    assert mistakes(path) == [f"c.yml:2: {expected}".replace("DIR", str(path.parent))]


def test_two_keys_of_one_rule_do_not_hide_others(write: Write) -> None:
    """A rule between two keys is reported beside mistakes of other keys in the same mapping."""
    text = (
        f"streams: [{GOOD}]\nforward:\n  servers:\n  - unix_path: /x\n    port: 5\n    weight: no\n    standby: 7\n"
    )
    assert mistakes(write("c.yml", text)) == [
        "c.yml:5: forward.servers[0].port: does not go with `unix_path`: a server has one address",
        "c.yml:6: forward.servers[0].weight: must be a whole number",
        "c.yml:7: forward.servers[0].standby: must be true or false",
    ]


# --- secrets ------------------------------------------------------------------------------------------------

SHOWN = ("ca_file", "cert_file", "key_file", "credentials_file", "include", "drop_event_types", "event_types")
"""Keys whose values are names that a message may say."""
PATHS = [key.path for key in keys_of(Config) if key.name not in SHOWN]
SECRETS = [
    "hunter2",
    "hunter2:/?#@[{ %",
    "{hunter2}",
    "${hunter2",
    "${x:hunter2}",
    "amqps://u:hunter2@h:x",
    "/hunter2/x",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_value_is_ever_repeated(write: Write, path: str) -> None:
    """A secret put where it does not belong, whatever the key, is in no message."""
    for value in SECRETS:
        for wrapped in (value, [value], {"x": value}):
            text = yaml.safe_dump(_with(path, wrapped))
            assert "hunter2" not in _said(write("c.yml", text)), text


def _said(path: Path) -> str:
    """Everything that is shown of a configuration: its error, or its warnings."""
    try:
        return str(load(path, {}).warnings)
    except ConfigError as error:
        return f"{error} {error.remedy} {error!r}"


def _with(path: str, value: object) -> dict[str, Any]:
    """A configuration with one key set, by its path: `forward.servers[].host`."""
    stream = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}
    root: dict[str, Any] = {"streams": [stream]}
    node = root
    *above, last = path.split(".")
    for step in above:
        name = step.removesuffix("[]")
        inner = node.setdefault(name, [{}] if step.endswith("[]") else {})
        node = inner[0] if isinstance(inner, list) else inner
    node[last] = value
    return root


def test_every_plain_key_is_tried() -> None:
    """The walk that the test above follows reaches the deepest keys."""
    assert {"streams[].transform.flatten.depth", "forward.security.password", "memory_limit"} <= set(PATHS)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from("*&!@%|>'\"{[`#-?:, \t"),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20),
)
def test_no_password_is_repeated_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, sign: str, rest: str
) -> None:
    """Forgotten quotes are the usual mistake: what follows `password:` is in no message."""
    path = tmp_path_factory.getbasetemp() / "c.yml"
    path.write_text(f"streams:\n- url: x\n  password: {sign}hunter2{rest}\n  queue: q\n", "utf-8")
    assert "hunter2" not in _said(path)
