"""Organisations: what their sources need, and what a stream takes from the one that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.config.access import Given, find_access
from fluent_plugin_amp.config.organisations import ComputersConfig
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.pipeline.asking import Asker
from fluent_plugin_amp.pipeline.names import Names
from fluent_plugin_amp.run.build import hunt_lines, hunted, make_names, make_transform

STREAM = "streams:\n  - {url: 'amqps://h', queue: q, username: u, password: p"
ORGANISATION = """
organisations:
  - name: acme
    cloud: eu
    api: {client_id: 0123456789abcdef0123, api_key_file: acme.key}
"""
STATE = "state: {path: state.db}\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration beside the organisation's key, and returns its file."""
    (tmp_path / "acme.key").write_text("secret-key\n")

    def write(text: str) -> Path:
        file = tmp_path / "c.yml"
        file.write_text(text)
        file.chmod(0o600)
        return file

    return write


def mistakes(file: Path) -> list[str]:
    """What is refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return [line.strip().replace(str(file), "c.yml") for line in str(caught.value).splitlines()[1:]]


def test_a_stream_takes_cloud_and_key_of_its_organisation(write: Write) -> None:
    """What it says itself goes first."""
    config: Config = load(write(ORGANISATION + STREAM + ", organisation: acme}"), {})
    (stream,) = config.streams
    assert stream.api is not None
    assert stream.api.key.api_key == "secret-key"
    assert stream.cloud is not None
    assert stream.cloud.api == "eu"
    own = load(write(ORGANISATION + STREAM + ", organisation: acme, cloud: us}"), {}).streams[0]
    assert own.cloud is not None
    assert own.cloud.api == "us"


def test_amp_streams_finds_the_key_through_the_organisation(write: Write) -> None:
    """`-c FILE` reads what a stream says about the API, wherever it says it."""
    access = find_access(Given(config_file=write(ORGANISATION + STREAM + ", organisation: acme}")), {})
    assert access.key.api_key == "secret-key"
    assert access.cloud is not None
    assert access.cloud.name == "eu"


def test_an_organisation_that_is_not_there_is_told_with_those_that_are(write: Write) -> None:
    """A typo is seen at once."""
    said = mistakes(write(ORGANISATION + STREAM + ", organisation: acem}"))
    assert said == ["c.yml:7: streams[0].organisation: must be one of `organisations`: `acme`"]


def test_a_mistake_of_the_organisation_is_told_once(write: Write) -> None:
    """Not again for each stream that takes it."""
    text = ORGANISATION.replace("cloud: eu", "cloud: mars") + STREAM + ", organisation: acme}"
    assert mistakes(write(text)) == [
        "c.yml:4: organisations[0].cloud: must be us, eu, apjc, or a mapping with `console` or `api`"
    ]


def test_a_polled_source_needs_a_state_file(write: Write) -> None:
    """Without one nobody would know how far it was delivered."""
    text = ORGANISATION + "    audit_logs: {tag: amp.audit}\n" + STREAM + "}"
    assert mistakes(write(text)) == [
        "c.yml:6: organisations[0].audit_logs: needs `state.path`: there it is kept how far the source was delivered"
    ]
    config = load(write(text + "\n" + STATE), {})
    (organisation,) = config.own_organisations
    assert organisation.sources == ("audit_logs",)
    assert organisation.audit_logs is not None
    assert (organisation.audit_logs.poll_interval, organisation.audit_logs.tag) == (300.0, "amp.audit")


@pytest.mark.parametrize(
    ("given", "instead", "said"),
    [
        ("cloud: eu", "cloud: {console: c.example.com}", "4: organisations[0].cloud: must say where the API is"),
        ("    cloud: eu\n", "", "3: organisations[0].cloud: missing"),
        ("name: acme", "name: acme\n    rate_limit_share: 0.9", "4: organisations[0].rate_limit_share: must be"),
        (
            "name: acme",
            "name: acme\n    rate_limit_share: half",
            "4: organisations[0].rate_limit_share: must be",
        ),
        ("name: acme", "name: acme\n    audit_log: {}", "4: organisations[0].audit_log: unknown key; did you mean"),
    ],
)
def test_what_is_refused(write: Write, given: str, instead: str, said: str) -> None:
    """Each with its place and what would be right."""
    (mistake,) = mistakes(write(ORGANISATION.replace(given, instead) + STREAM + "}"))
    assert mistake.startswith(f"c.yml:{said}")


def test_names_are_unique_among_organisations_and_lines(write: Write) -> None:
    """Two would share a place in the state file."""
    twice = ORGANISATION + ORGANISATION.partition("organisations:\n")[2] + STREAM + "}"
    assert mistakes(write(twice)) == ["c.yml:2: organisations: has two organisations named `acme`"]
    alike = ORGANISATION + "    audit_logs: {}\n" + STATE + STREAM + ", name: acme/audit_logs}"
    (mistake,) = mistakes(write(alike))
    assert "there is a stream named `acme/audit_logs`" in mistake


def test_its_records_have_the_static_fields_of_all_and_its_own(write: Write) -> None:
    """As with a stream."""
    text = ORGANISATION + "    add: {tenant: acme}\ntransform: {add: {site: hq, tenant: x}}\n" + STREAM + "}"
    (organisation,) = load(write(text), {}).organisations
    assert organisation.add == {"site": "hq", "tenant": "acme"}


def test_one_process_of_several_polls_an_organisation(write: Write) -> None:
    """Which one depends on its name alone."""
    text = ORGANISATION + STREAM + "}\n"
    owners = [
        len(load(write(text + f"shard: {{of: 3, index: {index}}}"), {}).own_organisations) for index in range(3)
    ]
    assert sorted(owners) == [0, 0, 1]


def test_the_way_to_a_private_cloud(write: Write, tmp_path: Path) -> None:
    """``api_key_file``, ``ca_file`` and what else a stream's ``cloud`` has; ``client_id`` is half of the key."""
    (tmp_path / "ca.pem").write_text("")
    text = ORGANISATION.replace("cloud: eu", "cloud: {api: amp.example.com, console: c.example.com, ca_file: ca.pem}")
    (organisation,) = load(
        write(text + "    proxy: direct\n    rate_limit_share: 0.25\nproxy: environment\n" + STREAM + "}"), {}
    ).organisations
    assert organisation.cloud.cloud is not None
    assert (organisation.cloud.cloud.api_url, organisation.cloud.cloud.console_host) == (
        "https://amp.example.com",
        "c.example.com",
    )
    assert organisation.cloud.ca_file == tmp_path / "ca.pem"
    assert (organisation.proxy, organisation.rate_limit_share) == ("direct", 0.25)
    assert organisation.api.client_id == "0123456789abcdef0123"


def test_further_sources_have_keys_of_their_own(write: Write) -> None:
    """Computers and vulnerabilities, by default every hour."""
    text = ORGANISATION + "    computers: {sweep: 2d, tag: amp.pcs}\n    vulnerabilities: {tag: amp.cves}\n"
    (organisation,) = load(write(text + STATE + STREAM + "}"), {}).organisations
    assert organisation.sources == ("computers", "vulnerabilities")
    computers, vulnerabilities = organisation.computers, organisation.vulnerabilities
    assert computers is not None
    assert vulnerabilities is not None
    assert (computers.poll_interval, computers.sweep, computers.tag) == (3600.0, 172_800.0, "amp.pcs")
    assert (vulnerabilities.poll_interval, vulnerabilities.tag) == (3600.0, "amp.cves")


def test_events_get_names_of_their_organisation(write: Write) -> None:
    """Those of streams that name it; `computers` learns them."""
    text = ORGANISATION + "    computers: {}\n    names: true\n" + STATE
    config = load(write(text + STREAM + ", organisation: acme, tag: 'amp.{group}'}"), {})
    known: dict[str, Names] = {}
    make_names(config, known)
    known["acme"].learn_groups([("g", "Finance laptops")])
    sent = make_transform(config.streams[0], known)({"group_guids": ["g"]}, 0.0)
    assert sent is not None
    assert (sent[0], sent[1]["names"]["groups"]) == ("amp.finance_laptops", ["Finance laptops"])
    make_names(load(write(STREAM + "}"), {}), known)
    assert known == {}


def test_a_state_file_that_is_missing_is_told_with_all_other_mistakes(write: Write) -> None:
    """Not only once they are mended; where it is a mistake itself, nothing more is said of it."""
    text = "detections: {}\n" + ORGANISATION + "    hunts: {}\n    audit_logs: null\n"
    wrong = STREAM + ", organisation: acme, exclusive: true, zzz: 1}\n"
    assert [mistake.split(" ", 1)[1][:45] for mistake in mistakes(write(text + wrong))] == [
        "detections: needs `state.path` with an `exclu",
        "organisations[0].hunts: needs `state.path`: t",
        "streams[0].zzz: unknown key",
    ]
    for state in ("state: {path: /state}", "state: 7"):
        assert "needs `state.path`" not in str(mistakes(write(text + wrong + state)))


def test_names_alone_are_a_source(write: Write) -> None:
    """As `computers` by default, whose place it takes; it is kept how much of it is known, too."""
    (organisation,) = load(write(ORGANISATION + "    names: true\n" + STATE + STREAM + "}"), {}).organisations
    assert organisation.sources == ("names",)
    assert organisation.section("names") == ComputersConfig()
    (mistake,) = mistakes(write(ORGANISATION + "    names: true\n" + STREAM + "}"))
    assert "names: needs `state.path`" in mistake
    text = ORGANISATION + "    names: true\n    computers: {poll_interval: 2h}\n"
    (organisation,) = load(write(text + STATE + STREAM + "}"), {}).organisations
    assert organisation.sources == ("computers",)
    assert organisation.section("computers").poll_interval == 7200.0


def test_hunts_have_keys_of_their_own(write: Write) -> None:
    """They say which events of the organisation's streams ask, and reach the transform of each."""
    hunts = "    hunts: {every: 2h, delay: 5s, event_types: [1], rate_limit_share: 0.2, tag: amp.hunts}\n"
    config = load(write(ORGANISATION + hunts + STATE + STREAM + ", name: s, organisation: acme}"), {})
    section = config.organisations[0].hunts
    assert section is not None
    assert (section.every, section.delay, section.rate_limit_share, section.tag) == (7200.0, 5.0, 0.2, "amp.hunts")
    assert hunt_lines(hunted(config)) == {"acme/hunts": 7200.0}
    transform = make_transform(config.streams[0], {}, hunted(config))
    assert transform.ask == Asker("acme/hunts", "s", frozenset({1}))
    assert make_transform(config.streams[0]).ask is None


def test_hunts_need_a_stream_whose_events_ask(write: Write) -> None:
    """A stream that does not name the organisation asks for nothing."""
    (mistake,) = mistakes(write(ORGANISATION + "    hunts: {}\n" + STATE + STREAM + "}"))
    assert mistake == "c.yml:6: organisations[0].hunts: needs a stream with `organisation: acme`: its events ask"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("hunts: {}", [("audit_logs", "hunts"), ("hunts",)]),
        ("names: true", [("audit_logs", "names"), ("names",)]),
        ("names: true\n    hunts: {}\n    computers: {}", [("audit_logs", "computers", "hunts"), ("hunts", "names")]),
    ],
)
def test_each_shard_hunts_and_learns_names_for_its_own_streams(
    write: Write, sections: str, expected: list[tuple[str, ...]]
) -> None:
    """Also where another one polls the organisation: what events ask for and need is known in their process only."""
    streams = "".join(
        f"  - {{url: 'amqps://h', queue: q, username: u, password: p, name: s{number}, organisation: acme}}\n"
        for number in range(8)
    )
    text = ORGANISATION + f"    {sections}\n    audit_logs: {{}}\n" + STATE + "streams:\n" + streams
    sources = [
        [
            organisation.sources
            for organisation in load(write(text + f"shard: {{of: 2, index: {index}}}\n"), {}).own_organisations
        ]
        for index in range(2)
    ]
    assert sorted(sources) == sorted([each] for each in expected)
