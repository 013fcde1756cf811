"""Every two options work together, or are a mistake that the configuration names.

Eight runs in which each pair of options is there in all four ways, both, one, the other, neither: what Cisco
published as a pair of events goes in, with a later one and one that is broken, and each option must have its effect
whatever the other ones do.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.commands.state import show
from fluent_plugin_amp.config import load
from fluent_plugin_amp.errors import ConfigError, QueueInUse
from fluent_plugin_amp.source import amqp
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials
from fluent_plugin_amp.testing.reactions import HoldAck
from tests.e2e.configs import configuration, ids_of
from tests.e2e.conftest import Rig
from tests.e2e.plugin import eventually

OPTIONS: dict[str, dict[str, Any]] = {
    "flatten": {"transform": {"flatten": {}}},
    "shape": {"transform": {"shape": "ocsf"}},
    "serialize": {"transform": {"serialize": "message"}},
    "links": {"transform": {"links": True}, "stream": {"cloud": "us"}},
    "obfuscate": {
        "transform": {
            "obfuscate": [
                {"field": "computer.hostname", "method": "mask"},
                {"field": "computer.user", "method": "hash", "key": "key"},
            ]
        }
    },
    "tag template": {"stream": {"tag": "amp.{stream}.{event_type_id}"}},
    "detections": {"root": {"detections": {"tag": "amp.detections"}}},
    "incidents": {
        "root": {"incidents": {"tag": "amp.incidents", "window": "1s", "lateness": "0s", "by": ["sha256"]}}
    },
    "state": {"root": {"state": {"path": "state.db"}}},
    "gzip": {"forward": {"compress": "gzip"}},
    "poll_interval": {"stream": {"poll_interval": "1h"}},
    "exclusive": {"stream": {"exclusive": True}},
    "once": {},
}
"""What turns each of them on, by the section that it belongs to."""

REFUSED = [
    {"exclusive", "poll_interval"},
    {"exclusive", "detections"},  # without a state file
    {"exclusive", "incidents"},
]
"""What cannot be together."""

RUNS = [
    {"shape", "flatten", "obfuscate", "detections", "incidents", "once"},
    {"shape", "serialize", "links", "tag template", "detections", "state", "gzip", "poll_interval"},
    {"flatten", "tag template", "state", "gzip", "exclusive", "once"},
    {"shape", "serialize", "links", "obfuscate", "exclusive"},
    {"flatten", "serialize", "links", "incidents", "state", "poll_interval", "once"},
    {"obfuscate", "tag template", "incidents", "gzip", "poll_interval"},
    {"serialize", "obfuscate", "tag template", "detections", "incidents", "state", "exclusive", "once"},
    {"flatten", "links", "incidents", "gzip", "poll_interval"},
]
"""The options of each run; the others are off."""

PAIR: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "pipeline/combine/cisco_pair.json").read_text())
IDS = sorted(event["id"] for event in PAIR)
LATER = {**PAIR[1], "id": IDS[1] + 1, "detection_id": "another", "timestamp": PAIR[1]["timestamp"] + 3600}
EVENTS = [*PAIR, LATER]
BROKEN = b'{"hostname": "Demo_AMP_Threat_Quarantined", "id"'
HIDDEN = ("Demo_AMP_Threat_Quarantined", "johndoe")
DEAD_LETTERS = "edr.cisco.amp.dead_letters"


def configured(options: set[str], section: dict[str, Any], server: FakeFluentd | dict[str, Any]) -> dict[str, Any]:
    """A configuration with these options; ``section`` is its stream."""
    forward: dict[str, Any] = {}
    transform: dict[str, Any] = {}
    root: dict[str, Any] = {}
    for option in options:
        keys = OPTIONS[option]
        section = {**section, **keys.get("stream", {})}
        forward |= keys.get("forward", {})
        transform |= keys.get("transform", {})
        root |= keys.get("root", {})
    return {**configuration(section, server, **forward), "transform": transform, **root}


def in_all_ways(runs: list[set[str]]) -> set[frozenset[tuple[str, bool]]]:
    """Which two options are there together, and in which ways."""
    return {
        frozenset(pair)
        for run in runs
        for pair in itertools.combinations([(option, option in run) for option in OPTIONS], 2)
    }


def test_every_pair_is_there_in_every_way() -> None:
    """Both, one, the other, neither; but for what is refused."""
    wanted = {
        frozenset({(one, is_one), (other, is_other)})
        for one, other in itertools.combinations(OPTIONS, 2)
        for is_one, is_other in itertools.product((True, False), repeat=2)
        if not (is_one and is_other and {one, other} == {"exclusive", "poll_interval"})
    }
    assert wanted - in_all_ways(RUNS) == set()
    assert set.union(*RUNS) == OPTIONS.keys()


@pytest.mark.parametrize("options", REFUSED, ids=lambda options: " + ".join(sorted(options)))
def test_what_cannot_be_together_is_refused(options: set[str], tmp_path: Path) -> None:
    """With an id, and the keys by name; each alone is fine."""
    section, server = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q"}, {"port": 24224}
    file = tmp_path / "config.yml"
    for each in options:
        file.write_text(json.dumps(configured({each}, section, server)))
        load(file)
    file.write_text(json.dumps(configured(options, section, server)))
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert refused.value.id == "config.invalid"
    assert all(option in str(refused.value) for option in options)


class Arrived:
    """What a server has of one run, read back through the options that shaped it."""

    def __init__(self, server: FakeFluentd, options: set[str]) -> None:
        self._server = server
        self._options = options

    @property
    def text(self) -> str:
        """All of it."""
        return json.dumps([entry.record for chunk in self._server.chunks for entry in chunk.entries])

    @property
    def tags(self) -> set[str]:
        """Of the chunks."""
        return {chunk.tag for chunk in self._server.chunks}

    def under(self, tag: str) -> list[dict[str, Any]]:
        """The records with this tag; combined ones have the shape of events."""
        return [
            self._plain(entry.record) for chunk in self._server.chunks if chunk.tag == tag for entry in chunk.entries
        ]

    def events(self) -> Iterator[dict[str, Any]]:
        """Those that Cisco sent."""
        for tag in self.tags - {DEAD_LETTERS, "amp.detections", "amp.incidents"}:
            yield from self.under(tag)

    def _plain(self, record: dict[str, Any]) -> dict[str, Any]:
        if "serialize" in self._options:
            assert record.keys() == {"message"}
            record = json.loads(record["message"])
        if "flatten" in self._options:
            assert not any(isinstance(value, dict) for value in record.values())
        return self._unshaped(record) if "shape" in self._options else record

    def _unshaped(self, record: dict[str, Any]) -> dict[str, Any]:
        """What of an OCSF record is looked at here, under the names that it has without."""
        if "class_uid" not in record:
            return record  # a dead letter

        def at(*path: str) -> Any:
            if "flatten" in self._options:
                return record.get("_".join(path))
            value: Any = record
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            return value

        plain = {
            "detection_id": at("metadata", "correlation_uid"),
            "event_ids": [int(event["uid"]) for event in at("finding_info", "related_events") or ()],
            "status": (at("disposition") or "").lower(),
            "revision": at("unmapped", "revision"),
            "count": at("count"),
            **({"id": int(uid)} if (uid := at("metadata", "uid")) else {}),
            **({"computer": {}} if "device" in record else {}),
        }
        return {**plain, "console_links": {}} if at("finding_info", "src_url") else plain


@pytest.mark.parametrize("options", RUNS, ids=lambda options: " + ".join(o for o in OPTIONS if o in options))
async def test_together(rig: Rig, options: set[str], fluentd: FakeFluentd) -> None:
    """Each option has its effect, each event arrives once, and the end is in order."""
    stream = rig.make_stream()
    await rig.publish(stream, [*(json.dumps(event).encode() for event in EVENTS), BROKEN])
    fluentd.script(HoldAck())
    section = rig.section(stream, name="emea")
    plugin = rig.run(configured(options, section, fluentd), *(["--once"] if "once" in options else []))
    arrived = Arrived(fluentd, options)
    await fluentd.wait_for(lambda: fluentd.chunks)
    assert await is_taken(rig.broker, stream) is ("exclusive" in options)
    fluentd.release()

    expected = {DEAD_LETTERS} | {f"amp.{each}" for each in ("detections", "incidents") if each in options}
    if "tag template" in options:
        expected |= {f"amp.emea.{event['event_type_id']}" for event in EVENTS}
    else:
        expected.add("edr.cisco.amp.events")
    await fluentd.wait_for(lambda: arrived.tags == expected and len(list(arrived.events())) == len(EVENTS))
    if "poll_interval" in options:
        await eventually(lambda: "polled in" in plugin.log)
    if "once" not in options:
        await eventually(lambda: rig.broker.queue_depth(stream.queue)[:2] == (0, 0))
        assert await plugin.stopped() == 0
    assert await plugin.ended() == 0
    assert rig.broker.queue_depth(stream.queue)[:3] == (0, 0, 0)

    assert fluentd.violations == []
    assert all(("compressed" in chunk.option) is ("gzip" in options) for chunk in fluentd.chunks)
    assert all(("computer" in event) is ("flatten" not in options) for event in arrived.events())
    assert ids_of(arrived.events()) == Counter(event["id"] for event in EVENTS)
    assert all(
        any(name.startswith("console_links") for name in event) is ("links" in options) for event in arrived.events()
    )
    assert all((value in arrived.text) is ("obfuscate" not in options) for value in HIDDEN)
    assert ("polled in" in plugin.log) is ("poll_interval" in options)
    if "detections" in options:
        first = next(
            each for each in arrived.under("amp.detections") if each["detection_id"] == PAIR[0]["detection_id"]
        )
        assert (first["event_ids"], first["status"], first["revision"]) == (IDS, "quarantined", 1)
    if "incidents" in options:
        first = arrived.under("amp.incidents")[0]
        assert (first["event_ids"], first["count"]) == (IDS, 2)
    state = plugin.folder / "state.db"
    assert state.exists() is ("state" in options)
    if "state" in options:
        assert [each.events for each in show(state, 0.0).streams] == [len(EVENTS) + 1]


async def is_taken(broker: PrivateRabbitMQ, stream: StreamCredentials) -> bool:
    """Whether somebody has the queue for himself."""
    where = amqp.BrokerAddress("127.0.0.1", broker.port, stream.username, stream.password)
    connection = await amqp.connect(where)
    try:
        channel = await connection.open_channel()
        await channel.consume(stream.queue, 1, lambda message: None)
    except QueueInUse:
        return True
    else:
        return False
    finally:
        await connection.close(2.0)
