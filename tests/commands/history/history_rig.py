"""A cloud with recorded events, a Forward server, and a configuration of both: for tests in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from fluent_plugin_amp.commands.history.around import Around
from fluent_plugin_amp.commands.history.backfill import Backfill
from fluent_plugin_amp.commands.history.past import EventsPast
from fluent_plugin_amp.commands.history.reconcile import Reconciliation
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.facts import Fact
from fluent_plugin_amp.history.span import Span
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import digest_of, identity_of
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import split
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rest import Request

NOW = 1_700_000_000
"""A quarter past an hour, 800 seconds into it."""
FIRST_ID = 6_180_352_115_244_793_857
DETECTED = 1090519054
QUARANTINED = 553648143
TOP_LEVEL = ("state", "transform", "organisations")


def event(number: int, second: int, **fields: Any) -> bytes:
    """The message of an event; ids of neighbours are the same when rounded."""
    made = {
        "id": FIRST_ID + number,
        "timestamp": second,
        "timestamp_nanoseconds": number % 7 * 1_000_000,
        "event_type_id": DETECTED,
        "connector_guid": f"connector-{number % 5}",
        "detection": f"event {number}",
        **fields,
    }
    return json.dumps(made).encode()


def events(count: int, *, until: int = NOW, every_s: int = 1) -> list[bytes]:
    """One after the other, the last one before ``until``."""
    return [event(number, until - (count - number) * every_s) for number in range(count)]


def ids_of(bodies: Iterable[bytes]) -> list[int]:
    """Their ids, in order of size."""
    return sorted(json.loads(body)["id"] for body in bodies)


class Rig:
    """See the module."""

    def __init__(self, folder: Path, cloud: LocalCloud, fluentd: FakeFluentd) -> None:
        self.folder = folder
        self.cloud = cloud
        self.fluentd = fluentd
        self.organisation = cloud.add_organisation()
        self.state = folder / "state.db"
        self.waits: list[tuple[float, str]] = []
        self.facts: list[Fact] = []
        self.make_stream()

    def make_stream(self, **filters: Any) -> None:
        """The stream ``event_stream_…``, anew."""
        for stream_id in list(self.organisation.streams):
            self.organisation.delete(stream_id)
        body = json.dumps({"name": "emea", **filters}).encode()
        self.organisation.answer(Request("POST", "/v1/event_streams", "http://cloud", body=body))

    def config(self, **keys: Any) -> Config:
        """The configuration; ``keys`` of the stream, or ``state``, ``transform``, ``organisations``."""
        (stream,) = self.organisation.streams.values()
        section = {
            "name": "emea",
            "url": "amqp://u:p@127.0.0.1:9",
            "queue": stream.queue_name,
            "cloud": {"api": self.cloud.url},
            "api": {"client_id": self.organisation.client_id, "api_key": self.organisation.api_key},
            **{key: value for key, value in keys.items() if key not in TOP_LEVEL},
        }
        document: dict[str, Any] = {
            "streams": [{key: value for key, value in section.items() if value is not None}],
            "forward": {"servers": [{"host": "127.0.0.1", "port": self.fluentd.port}]},
            "state": keys.get("state", {"path": str(self.state)}),
        }
        document |= {key: keys[key] for key in TOP_LEVEL if key in keys}
        file = self.folder / "config.yml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(document))
        return load(file)

    def remember(self, bodies: Iterable[bytes], *, delivered_at: int = NOW - 86400) -> None:
        """`run` has delivered these."""
        digests, facts = [], []
        for body in bodies:
            record = decode(body)
            digests.append(digest_of(body))
            facts.append(identity_of(record, *event_time(record, 0.0)))
        store = Store.open(self.state, create=True)
        with store.transaction():
            store.add_delivered(split("emea", delivered_at, digests, facts))
        store.close()

    def cut_list(self, bodies: list[bytes]) -> Failure:
        """The cloud lists these, and counts one more, until ``times`` of what is returned is 0."""
        page = b'{"data": [%s], "metadata": {"results": {"total": %d}}}'
        first, rest = (page % (b",".join(listed), len(bodies) + 1) for listed in (bodies[::-1], []))
        self.cloud.fail(Failure(path="/v1/events", status=200, body=first))
        return self.cloud.fail(Failure(path="/v1/events", status=200, body=rest, times=9))

    def backfill(self, since: int, until: int = NOW, *, config: Config | None = None, **options: Any) -> Backfill:
        """One that is about to begin."""
        config = config or self.config()
        return Backfill(config, EventsPast(config.streams[0]), Span(since, until), ("emea", "7d", ""), **options)

    def reconcile(
        self, since: int, until: int = NOW, *, config: Config | None = None, now: float = NOW, repair: bool = False
    ) -> Reconciliation:
        """One that is about to begin."""
        config = config or self.config()
        return Reconciliation(config, EventsPast(config.streams[0]), Span(since, until), now, repair)

    async def run(
        self,
        job: Backfill | Reconciliation,
        *,
        stop: asyncio.Event | None = None,
        environ: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        """To its end."""
        options.setdefault("wait", self.wait)
        await job.run(Around(environ or {}, self.facts.append, stop=stop or asyncio.Event(), **options))

    async def wait(self, seconds: float, why: str) -> None:
        """Remembers it, and does not wait."""
        self.waits.append((seconds, why))

    def arrived(self) -> list[int]:
        """The ids of the records that the server has, in order of size."""
        return sorted(record["id"] for record in self.fluentd.records if "id" in record)
