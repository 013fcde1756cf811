"""What completeness records take from a process at full speed: a sweep of hours is under way the whole time.

The cloud has the day's events, 100,000 of them, and the state file knows each.  So a new chain begins with looks at
all hours of the day, one after the other, at the pace that `completeness.pace` allows.  Measured is from the tenth
part of the queue to the last but one, so that the start is left out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.delivered import digest_of, identity_of
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import split
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation, RequestLimit
from fluent_plugin_amp.testing.rest import Request
from tests.bench.job import Job, Row
from tests.bench.rig import Rig, Snapshot, receiver, wait_until
from tests.processes import cpu_seconds, memory_mib

EVENTS_A_DAY = 100_000
DAY_S = 86400
KINDS = 200
"""Different events of the cloud; the others differ from them in id and time, so that they take little memory."""
KEY = "a key of sixteen"


def completeness(job: Job) -> Iterator[Row]:
    """With records and without, in turn, both with a state file."""
    rig, bodies = job.rig, job.bodies()
    with LocalCloud() as cloud:
        organisation = cloud.add_organisation()
        organisation.requests = RequestLimit(10**6)
        organisation.answer(Request("POST", "/v1/event_streams", cloud.url, body=b'{"name": "bench"}'))
        state = rig.folder / "of-a-day" / "state.db"
        _fill(organisation, state, rig.streams[0].queue, job.bodies(KINDS))
        with_records = {
            "of_stream": {
                "cloud": {"api": cloud.url},
                "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
            },
            "completeness": {"key": KEY},
        }
        requests: list[float] = []

        def on() -> Snapshot:
            before = len(cloud.requests)
            found = _measure(rig, bodies, state, **with_records)
            requests.append(len(cloud.requests) - before)
            return found

        figures = job.alternate({"off": lambda: _measure(rig, bodies, state), "on": on}, job.few)
    off, on_ = figures["off"], figures["on"]
    yield Row("off: events/s", tuple(each.rate for each in off))
    yield Row("on: events/s", tuple(each.rate for each in on_))
    yield Row("on / off: events/s", tuple(one.rate / other.rate for one, other in zip(on_, off, strict=True)))
    costs = tuple(one.cpu_s / other.cpu_s for one, other in zip(on_, off, strict=True))
    yield Row("on / off: processor seconds", costs)
    yield Row("on: requests to the cloud", tuple(requests))


def _fill(organisation: Organisation, state: Path, stream: str, kinds: list[bytes]) -> None:
    """The events of a day, in the cloud and in a state file."""
    shutil.rmtree(state.parent, ignore_errors=True)
    state.parent.mkdir(mode=0o700)
    store = Store.open(state, create=True)
    models: list[dict[str, Any]] = [msgspec.json.decode(body) for body in kinds]
    now = int(time.time())
    digests, facts = [], []
    for number in range(EVENTS_A_DAY):
        second = now - DAY_S + number * DAY_S // EVENTS_A_DAY
        event = {**models[number % KINDS], "id": 2**60 + number, "timestamp": second}
        organisation.events.add(event)
        digests.append(digest_of(b"%d" % number))
        facts.append(identity_of(event, *event_time(event, 0.0)))
    with store.transaction():
        store.add_delivered(split(stream, now, digests, facts))
    store.index_all()
    store.close()


def _measure(rig: Rig, bodies: list[bytes], state: Path, **options: Any) -> Snapshot:
    """Of events a second and processor seconds in the middle of the queue."""
    copy = rig.folder / "state"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(state.parent, copy)
    rig.fill(bodies)
    queue = rig.streams[0].queue

    def left() -> int:
        depth = rig.broker.queue_depth(queue)
        return depth.ready + depth.unacked

    with receiver() as (port, _):
        process = rig.start_plugin(port, state={"path": str(copy / "state.db")}, **options)
        marks = []
        for part in (0.9, 0.1):
            wait_until(lambda part=part: left() <= part * len(bodies), rig.log, 900.0)  # type: ignore[misc]
            marks.append((left(), time.monotonic(), cpu_seconds(process.pid)))
        peak = memory_mib(process.pid)
        process.kill()
        process.wait()
    (more, began, before), (less, ended, after) = marks
    return Snapshot((more - less) / (ended - began), (after - before) / (more - less) * len(bodies), peak)
