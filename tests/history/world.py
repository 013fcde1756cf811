"""A cloud with a history, a state file that knows some of it, a Forward receiver, and the commands as processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import digest_of, identity_of
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import split
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.events import EventGenerator
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.receivers import whole_lines
from fluent_plugin_amp.testing.recorded import rounded
from fluent_plugin_amp.testing.rest import Request
from fluent_plugin_amp.testing.waiting import DEADLINE_S

STREAM = "emea"
CLEAN = ("AMP_CLIENT_ID", "AMP_API_KEY", "AMP_API_KEY_FILE", "AMP_REGION", "AMP_API_HOST")


@dataclass
class Ended:
    """What a command came to."""

    code: int
    output: str
    log: str
    peak_mib: float
    seconds: float

    @property
    def json(self) -> Any:
        """Its output."""
        return json.loads(self.output)


class World:
    """See the module.

    Args:
        folder: of its own.
        cloud: that runs.
        port: of the receiver.
        records: the file that it records to.
    """

    def __init__(self, folder: Path, cloud: LocalCloud, port: int, records: Path) -> None:
        self.folder = folder
        self.cloud = cloud
        self.organisation: Organisation = cloud.add_organisation()
        self.records = records
        self.state = folder / "state.db"
        self.config = folder / "config.yml"
        self.write_config(port)
        self.make_stream()

    def write_config(self, port: int, **keys: Any) -> None:
        """A stream whose broker nobody needs, the cloud, the receiver, a state file."""
        api = {"client_id": self.organisation.client_id, "api_key": self.organisation.api_key}
        stream = {
            "name": STREAM,
            "url": "amqp://u:p@127.0.0.1:9",
            "queue": "event_stream_1",
            "cloud": {"api": self.cloud.url},
            "api": api,
            **keys,
        }
        document = {
            "streams": [stream],
            "forward": {"servers": [{"host": "127.0.0.1", "port": port}]},
            "state": {"path": str(self.state)},
            "observe": {"listen": None},
        }
        self.config.touch(mode=0o600)
        self.config.write_text(yaml.safe_dump(document))

    def make_stream(self, **filters: Any) -> None:
        """In the cloud, anew."""
        for stream_id in list(self.organisation.streams):
            self.organisation.delete(stream_id)
        body = json.dumps({"name": STREAM, **filters}).encode()
        self.organisation.answer(Request("POST", "/v1/event_streams", "http://cloud", body=body))
        (stream,) = self.organisation.streams.values()
        text = yaml.safe_load(self.config.read_text())
        text["streams"][0]["queue"] = stream.queue_name
        self.config.write_text(yaml.safe_dump(text))

    def remember(self, bodies: Iterable[bytes], *, delivered_at: float) -> None:
        """The state file knows these as delivered from the stream."""
        digests, facts = [], []
        for body in bodies:
            record = decode(body)
            digests.append(digest_of(body))
            facts.append(identity_of(record, *event_time(record, delivered_at)))
        store = Store.open(self.state, create=True)
        with store.transaction():
            store.add_delivered(split(STREAM, int(delivered_at), digests, facts))
        store.close()

    def as_shown(self, bodies: Iterable[bytes]) -> Counter[str]:
        """Events as the API shows them, as `arrived` counts them."""
        found: Counter[str] = Counter()
        for body in bodies:
            event = json.loads(body)
            if self.organisation.events.rounded_ids and type(event.get("id")) is int:
                event["id"] = rounded(event["id"])
            found[_line(event)] += 1
        return found

    def arrived(self) -> Counter[str]:
        """How often each record is with the receiver."""
        return Counter(_line(json.loads(line)["record"]) for line in whole_lines(self.records))

    def start(self, command: str, *options: str) -> Running:
        """Start ``backfill`` or ``reconcile``."""
        return Running(self.folder, [command, "-c", str(self.config), *options])

    def run(self, command: str, *options: str) -> Ended:
        """Run it to its end."""
        with contextlib.closing(self.start(command, *options)) as running:
            return running.end()


class Running:
    """A command as a process, whose memory is watched."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._began = time.monotonic()
        self._log = (folder / f"{arguments[0]}.log").open("w+b")
        self._output = (folder / f"{arguments[0]}.out").open("w+b")
        environment = {name: value for name, value in os.environ.items() if name not in CLEAN}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fluent_plugin_amp", "--debug", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._log,
            env=environment,
        )
        self.peak_mib = 0.0

    def resident_mib(self) -> float:
        """Now; 0 when it has ended."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        self.peak_mib = max(self.peak_mib, pages * 4096 / 2**20)
        return pages * 4096 / 2**20

    def until(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait while it runs."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come true in time\n{self.log}"
            assert self.process.poll() is None, f"the command ended\n{self.log}"
            self.resident_mib()
            time.sleep(0.01)

    @property
    def log(self) -> str:
        """Its standard error so far."""
        return Path(self._log.name).read_text()

    def end(self, deadline_s: float = DEADLINE_S) -> Ended:
        """Wait until it has ended by itself."""
        deadline = time.monotonic() + deadline_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it did not end in time\n{self.log}"
            self.resident_mib()
            time.sleep(0.02)
        output = Path(self._output.name).read_text()
        return Ended(self.process.returncode, output, self.log, self.peak_mib, time.monotonic() - self._began)

    def close(self) -> None:
        """Kill what is left of it."""
        self.process.kill()
        self.process.wait()
        self._log.close()
        self._output.close()


@contextlib.contextmanager
def world(folder: Path, *, ack_delay_s: float = 0.0) -> Iterator[World]:
    """All of it, ended with the block."""
    records = folder / "records.ndjson"
    arguments = ["--print-port", "--until-eof", "--record", str(records), "--ack-delay", str(ack_delay_s)]
    receiver = subprocess.Popen(
        [sys.executable, "-m", "fluent_plugin_amp.testing.fluentd", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        with LocalCloud() as cloud:
            yield World(folder, cloud, port, records)
    finally:
        receiver.kill()
        receiver.communicate()


def history(count: int, *, until: float, spacing_s: float = 0.5, seed: int = 7) -> list[bytes]:
    """``count`` events, oldest first, the last one shortly before ``until``."""
    return list(EventGenerator(seed=seed, start_s=until - count * spacing_s - 60).bodies(count))


def second_of(body: bytes) -> int:
    """When it happened."""
    second: int = json.loads(body)["timestamp"]
    return second


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True)
