"""Polled sources come and go with the configuration; all that use a key share its budget."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from fluent_plugin_amp import facts
from fluent_plugin_amp.cisco.answers import RateLimit
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.lines import Lines
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.run import lookup, sources
from fluent_plugin_amp.run.sources import Sources
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.pipeline.shape.organisation_records import RECORDS

STREAM = {"url": "amqps://h", "username": "u", "password": "p", "queue": "q", "name": "s"}


def organisation(name: str, **keys: Any) -> dict[str, Any]:
    """One whose cloud nobody can reach, with a source."""
    section = {"cloud": {"api": "https://127.0.0.1:9"}, "proxy": "direct", "audit_logs": {}}
    return {"name": name, "api": {"client_id": "c", "api_key": "k"}, **section, **keys}


def config(*organisations: dict[str, Any], **keys: Any) -> Config:
    """A configuration with these."""
    return Config.model_validate({"streams": [STREAM], "organisations": list(organisations), **keys})


class FakeConductor(Lines):
    """Lines, and nothing in them."""

    def __init__(self) -> None:
        super().__init__({})
        self.forgotten = 0
        self.failing: set[str] = set()
        """Lines that cannot be opened, once."""
        self.forgets = True

    def open(self, name: str, transform: Transform) -> None:
        """As `Conductor.open`."""
        if name in self.failing:
            self.failing.discard(name)
            raise RuntimeError(name)
        super().open(name, transform)

    def forget_requeued(self) -> None:
        """As `Conductor.forget_requeued`."""
        if not self.forgets:
            raise RuntimeError("nothing is forgotten")
        self.forgotten += 1


class FakeKept:
    """Nothing is kept."""

    async def load_of(self, source: str) -> dict[str, bytes]:
        """As `KeptRows.load_of`."""
        return {}

    async def save(self, source: str, values: dict[str, bytes | None]) -> None:
        """As `KeptRows.save`."""


class Rig:
    """Sources of a configuration, and what they told."""

    def __init__(self, config: Config) -> None:
        self.told: list[facts.Fact] = []
        self.heard = asyncio.Event()
        self.conductor = FakeConductor()
        self.sources = Sources(config, cast(Conductor, self.conductor), FakeKept(), {}, self.tell)

    def tell(self, fact: facts.Fact) -> None:
        """An observer."""
        self.told.append(fact)
        self.heard.set()

    async def trouble_of(self, name: str) -> None:
        """Return when a source told that its cloud cannot be reached."""

        async def wait() -> None:
            while not any(isinstance(fact, facts.SourceTrouble) and fact.source == name for fact in self.told):
                self.heard.clear()
                await self.heard.wait()

        await asyncio.wait_for(wait(), DEADLINE_S)


async def test_an_unreachable_cloud_is_told_and_costs_nothing_else() -> None:
    """Each source has trouble of its own, and is tried again."""
    rig = Rig(config(organisation("acme"), organisation("other")))
    rig.sources.start()
    await rig.trouble_of("acme/audit_logs")
    await rig.trouble_of("other/audit_logs")
    assert {type(fact) for fact in rig.told} <= {facts.SourceTrouble, facts.SourceWaits}
    await rig.sources.close()


async def test_a_reload_adds_removes_and_restarts_them() -> None:
    """Those that did not change go on."""
    rig = Rig(config(organisation("same"), organisation("gone"), organisation("changed")))
    rig.sources.start()
    same, changed = rig.sources.polled["same/audit_logs"], rig.sources.polled["changed/audit_logs"]
    await rig.sources.follow(
        config(organisation("same"), organisation("changed", audit_logs={"poll_interval": "1m"}), organisation("new"))
    )
    assert set(rig.sources.polled) == {"same/audit_logs", "changed/audit_logs", "new/audit_logs"}
    assert rig.sources.polled["same/audit_logs"] is same
    assert rig.sources.polled["changed/audit_logs"] is not changed
    ended = {fact.source for fact in rig.told if isinstance(fact, facts.SourceEnded)}
    assert ended == {"gone/audit_logs", "changed/audit_logs"}
    assert rig.conductor.forgotten
    await rig.sources.close()


async def test_a_source_that_cannot_be_begun_costs_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reload, be it the end or the beginning of one that fails: it is told, and begun again later."""
    monkeypatch.setattr(sources, "AGAIN_S", 0.01)
    rig = Rig(config(*map(organisation, ("a", "b"))))
    rig.sources.start()
    rig.conductor.failing, rig.conductor.forgets = {"a/audit_logs"}, False
    other = {"audit_logs": {"poll_interval": "1m"}}
    await rig.sources.follow(config(*(organisation(name, **other) for name in ("a", "b"))))
    rig.conductor.forgets = True
    assert {*rig.sources.polled} == {"b/audit_logs"}
    assert [str(fact.error) for fact in rig.told if isinstance(fact, facts.InternalError)] == [
        *["nothing is forgotten"] * 2,
        "a/audit_logs",
    ]
    await rig.trouble_of("a/audit_logs")  # it asks its cloud
    assert {polled.poll_interval_s for polled in rig.sources.polled.values()} == {60.0}
    await rig.sources.close()


@pytest.mark.parametrize("ends_by", ["a reload", "the end"])
async def test_what_is_gone_is_not_begun_later(monkeypatch: pytest.MonkeyPatch, ends_by: str) -> None:
    """Nor what was stopped meanwhile."""
    monkeypatch.setattr(sources, "AGAIN_S", 0.0)
    rig = Rig(config(organisation("a")))
    rig.conductor.failing = {"a/audit_logs"}
    rig.sources.start()
    await (rig.sources.follow(config(organisation("b"))) if ends_by == "a reload" else rig.sources.close())
    for _ in range(5):
        await asyncio.sleep(0)
    assert {*rig.sources.polled} == ({"b/audit_logs"} if ends_by == "a reload" else set())
    await rig.sources.close()


async def test_the_line_of_a_source_that_is_gone_goes_once_it_is_empty() -> None:
    """Those of others stay, with what they counted; one that comes back in time keeps its own."""
    rig = Rig(config(organisation("changed"), *map(organisation, ("gone", "busy", "back"))))
    rig.sources.start()
    lines = rig.conductor.lines
    lines["changed/audit_logs"].counters.delivered = 7
    for name in ("busy", "back"):
        lines[f"{name}/audit_logs"].held_bytes = 1
    changed = organisation("changed", audit_logs={"poll_interval": "1m"})
    await rig.sources.follow(config(changed))
    assert set(lines) == {"changed/audit_logs", "busy/audit_logs", "back/audit_logs"}
    assert lines["changed/audit_logs"].counters.delivered == 7
    for name in ("busy", "back"):
        lines[f"{name}/audit_logs"].held_bytes = 0
    await rig.sources.follow(config(changed, organisation("back")))
    assert set(lines) == {"changed/audit_logs", "back/audit_logs"}
    assert len(rig.sources.figures()) == 2
    await rig.sources.close()


async def test_the_http_client_of_organisations_that_are_gone_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once nobody is reached in its way; at the end all are."""
    opened: dict[str | None, httpx.AsyncClient] = {}
    open_http = lookup.open_http

    @contextlib.asynccontextmanager
    async def opening(*args: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with open_http(*args, **options) as http:
            opened[options["proxy"]] = http
            yield http

    monkeypatch.setattr(lookup, "open_http", opening)
    proxied = [organisation(name, proxy="http://127.0.0.1:9") for name in ("a", "b")]
    rig = Rig(config(organisation("direct"), *proxied))
    rig.sources.start()
    for name in ("direct", "a", "b"):
        await rig.trouble_of(f"{name}/audit_logs")
    direct, by_proxy = opened[""], opened["http://127.0.0.1:9"]
    await rig.sources.follow(config(organisation("direct"), proxied[1]))
    assert not by_proxy.is_closed
    await rig.sources.follow(config(organisation("direct")))
    assert by_proxy.is_closed
    assert not direct.is_closed
    await rig.sources.close()
    assert direct.is_closed


async def test_names_alone_are_a_source_that_tells_nothing() -> None:
    """It has a line, trouble and pace as others have."""
    rig = Rig(config(organisation("acme", audit_logs=None, names=True), state={"path": "/s"}))
    rig.sources.start()
    await rig.trouble_of("acme/names")
    assert rig.sources.polled["acme/names"].poll_interval_s == 3600.0
    await rig.sources.follow(
        config(organisation("acme", audit_logs=None, names=True, computers={}), state={"path": "/s"})
    )
    assert set(rig.sources.polled) == {"acme/computers"}
    await rig.sources.close()


async def test_other_transforms_begin_all_sources_anew() -> None:
    """What is masked from now on is masked in their records, too."""
    rig = Rig(config(organisation("acme")))
    rig.sources.start()
    before = rig.sources.polled["acme/audit_logs"]
    await rig.sources.follow(config(organisation("acme"), transform={"ids": "text"}))
    assert rig.sources.polled["acme/audit_logs"] is not before
    assert rig.conductor.lines["acme/audit_logs"].transform.ids_as_texts
    await rig.sources.close()


async def test_figures() -> None:
    """Of each source: what its line counted, and what its key is granted."""
    rig = Rig(config(organisation("acme"), organisation("other")))
    rig.sources.start()
    rig.conductor.lines["acme/audit_logs"].counters.delivered = 7
    for budget in rig.sources.budgets.values():
        budget.told(RateLimit(limit=3000, remaining=2900, reset_s=60.0), 0.0)
    acme, other = rig.sources.figures()
    assert (acme.name, acme.counters.delivered, acme.polled_at) == ("acme/audit_logs", 7, None)
    assert (acme.requests_left, other.requests_left) == (2900, 2900)
    assert (other.counters.delivered, other.odd, other.read, other.unknown_names) == (0, 0, None, None)
    await rig.sources.close()


async def test_hunts_have_a_share_of_their_own() -> None:
    """Theirs is not that of the organisation's other sources, nor the other way round."""
    rig = Rig(config(organisation("a", hunts={"rate_limit_share": 0.2})))
    rig.sources.start()
    assert [budget.share for budget in rig.sources.budgets.values()] == [0.5]
    assert [budget.share for budget in rig.sources.hunt_budgets.values()] == [0.2]
    await rig.sources.close()


@pytest.mark.parametrize(
    ("source", "number", "class_uid", "action"),
    [
        ("audit_logs", 0, 3004, "update"),
        ("computers", 1, 5001, "changed"),
        ("vulnerabilities", 2, 2002, "changed"),
        ("hunts", 0, 2004, "hunt"),
    ],
)
async def test_their_records_are_shaped(source: str, number: int, class_uid: int, action: str) -> None:
    """By the table of their kind; each source has one that knows all of its fields."""
    record = RECORDS[source][number]
    for to in ("ocsf", "ecs"):
        rig = Rig(config(organisation("acme", **{source: {}}), transform={"shape": to}, state={"path": "/nowhere"}))
        rig.sources.start()
        transform = rig.conductor.lines[f"acme/{source}"].transform
        await rig.sources.close()
        made = transform(copy.deepcopy(record), 1.0)
        assert made is not None
        tag, shaped = made
        assert tag == f"edr.cisco.amp.{source}"
        assert transform.schema is not None
        assert not transform.schema.drift.samples
        if to == "ocsf":
            assert (shaped["class_uid"], shaped["metadata"]["log_name"]) == (class_uid, f"acme/{source}")
        else:
            assert (shaped["event"]["action"], shaped["cisco"]["secure_endpoint"]["stream"]) == (
                action,
                f"acme/{source}",
            )


async def test_one_key_has_one_budget() -> None:
    """Whichever organisation uses it; the share is the one that was configured last."""
    other_key = {"client_id": "d", "api_key": "k"}
    rig = Rig(config(organisation("a"), organisation("b", rate_limit_share=0.25), organisation("c", api=other_key)))
    rig.sources.start()
    assert sorted(budget.share for budget in rig.sources.budgets.values()) == [0.25, 0.5]
    await rig.sources.close()
