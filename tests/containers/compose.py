"""The compose files of examples/: the demonstration through `kill -9` of each service, and what `init` writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fluent_plugin_amp.cisco.credentials import render
from fluent_plugin_amp.testing.certificates import make_certificates
from tests.containers.engine import ROOT, Failed, call, docker, inspect, need_images, until
from tests.containers.image import IMAGE, STREAM_AWAY

if TYPE_CHECKING:
    from typing_extensions import Self

PROJECT = "fluent-plugin-amp-try"
BATCH = 5000
"""Events to publish around each `kill -9`."""
KILLED = 137
"""Exit code of a container whose SIGTERM came to nothing."""

# Bodies that are told from the publisher's own by their type, and from each other by their id.  They come over some
# seconds, so that events are under way whenever something is killed.
PUBLISH = """
import json, time
from fluent_plugin_amp.testing.publisher import Message, publish
for start in range({first}, {first} + {count}, 100):
    bodies = [json.dumps({{"id": i, "event_type": "numbered"}}).encode() for i in range(start, start + 100)]
    publish("broker", 5672, "admin", "example", [Message("", "event_stream_demo", body) for body in bodies])
    time.sleep(0.05)
"""


class Project:
    """The services of a compose file, running."""

    def __init__(self, file: Path, profile: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.file = file
        self.profile = profile
        self._environment = {"STATUS_PORT": "0", **(environment or {})}
        text: dict[str, Any] = yaml.safe_load(file.read_text())
        self.began = 0.0
        self.services = [
            name for name, service in text["services"].items() if service.get("profiles", [profile]) == [profile]
        ]
        need_images(*{text["services"][name]["image"] for name in self.services if not self._is_built(text, name)})

    @staticmethod
    def _is_built(text: dict[str, Any], name: str) -> bool:
        return "build" in text["services"][name]

    def __call__(self, *arguments: str) -> str:
        """``docker compose``."""
        profile = ["--profile", self.profile] if self.profile else []
        return docker(*self._compose, *profile, *arguments, environment=self._environment)

    @property
    def _compose(self) -> tuple[str, ...]:
        return ("compose", "--ansi=never", f"--project-name={PROJECT}", f"--file={self.file}")

    def __enter__(self) -> Self:
        self("down", "--volumes")
        self("build")
        self.began = time.monotonic()
        self("up", "--detach")
        return self

    def __exit__(self, *_: object) -> None:
        self("down", "--volumes", "--timeout=1")

    def log(self, service: str) -> str:
        """What a service logged."""
        return call("logs", self.container(service)).stdout

    def tail(self) -> str:
        """The end of each log but the receiver's."""
        return "\n".join(self.log(service)[-1500:] for service in self.services if service != "syslog")

    def container(self, service: str) -> str:
        """The name of its container."""
        return f"{PROJECT}-{service}-1"

    def kill(self, service: str) -> None:
        """`kill -9`."""
        docker("kill", "--signal=KILL", self.container(service))

    def start(self, service: str) -> None:
        """Again, after `kill`: the engine takes that for the user's will, and does not start it by itself."""
        docker("start", self.container(service))

    def stop(self) -> str:
        """All of them, in order; how long it took.  Raises Failed when one had to be killed."""
        began = time.monotonic()
        self("stop")
        took = time.monotonic() - began
        codes = {name: inspect("container", self.container(name))["State"]["ExitCode"] for name in self.services}
        if KILLED in codes.values():
            raise Failed(f"SIGTERM did not end all: {codes}\n{self.tail()}")
        return f"{took:.1f} s, none had to be killed"


class Demo(Project):
    """examples/demo, by Fluent Bit or by Fluentd."""

    def __init__(self, forward: str) -> None:
        profile = "" if forward == "fluent-bit" else forward
        super().__init__(ROOT / "examples/demo/compose.yml", profile, {"FORWARD": forward})
        self._first = 1

    def lines(self) -> list[str]:
        """What Devo would have got, whole lines."""
        return [line for line in self.log("syslog").splitlines() if line.startswith("<14>") and line.endswith("}")]

    def first_lines(self) -> str:
        """200 lines arrive, and the plugin is healthy."""
        plugin = self.container("plugin")
        until("200 lines", lambda: len(self.lines()) >= 200, self.tail)
        until("healthy", lambda: inspect("container", plugin)["State"]["Health"]["Status"] == "healthy", self.tail)
        return f"200th line {time.monotonic() - self.began:.0f} s after `up`; the plugin is healthy"

    def numbered(self) -> Counter[int]:
        """How often each numbered event arrived."""
        events = (json.loads(line.partition(": ")[2]) for line in self.lines() if '"numbered"' in line)
        return Counter(event["id"] for event in events)

    def publish(self, ids: range) -> None:
        """A batch of numbered events, each confirmed by the broker."""
        code = PUBLISH.format(first=ids.start, count=len(ids))
        self("run", "--rm", "--no-deps", "--no-TTY", "--entrypoint=python", "publisher", "-c", code)

    def through(self, service: str) -> str:
        """`kill -9` of a service with events under way; none is lost."""
        broker = self.container("broker")
        until("broker", lambda: inspect("container", broker)["State"]["Health"]["Status"] == "healthy", self.tail)
        ids = range(self._first, self._first + BATCH)
        self._first += BATCH
        with ThreadPoolExecutor(1) as threads:
            if service == "broker":
                # The events wait in it, or were handed to a plugin that does not get to do anything with them.
                docker("pause", self.container("plugin"))
                self.publish(ids)
                self.kill(service)
                docker("unpause", self.container("plugin"))
                published: Future[object] = threads.submit(str)
            else:
                if service == "syslog":
                    # Before: what is in its socket when it dies nobody can know, as with Devo's.
                    self.kill(service)
                published = threads.submit(self.publish, ids)
                if service != "syslog":
                    until("on the way", lambda: published.done() or self.numbered().keys() & set(ids), self.tail)
                    self.kill(service)
            time.sleep(1)  # it is away for this long at least
            self.start(service)
            published.result()
        until(f"all events through the kill -9 of {service}", lambda: self.numbered().keys() >= set(ids), self.tail)
        twice = sum(count > 1 for number, count in self.numbered().items() if number in ids)
        return f"{BATCH} of {BATCH} arrive, {twice} twice"


def demo(forward: str, row: Callable[[str, Callable[[], str]], None]) -> None:
    """All tries of the demonstration."""
    with Demo(forward) as services:
        row(f"demo by {forward}: up", services.first_lines)
        for service in services.services:
            if service != "certificates":  # it has done its work, and ended
                row(f"demo by {forward}: kill -9 of {service}", partial(services.through, service))
        row(f"demo by {forward}: stop", services.stop)


def written_by_init() -> str:
    """What `init --for compose` writes runs: the plugin reaches Fluent Bit, and stops in order."""
    need_images(IMAGE)
    with tempfile.TemporaryDirectory(prefix=PROJECT) as name:
        folder = Path(name, "amp")
        secret = Path(name, "stream.yml")
        secret.write_text(render(STREAM_AWAY, "yaml"))
        command = [
            sys.executable,
            "-m",
            "fluent_plugin_amp",
            "init",
            "--for",
            "compose",
            "--credentials",
            str(secret),
        ]
        subprocess.run([*command, "--devo", "devo.invalid", str(folder)], check=True, capture_output=True)
        made = make_certificates(folder / "devo")
        for file, beside in {"chain.crt": made.ca_file, "mydomain.crt": made.client.cert_file}.items():
            beside.rename(folder / "devo" / file)
        made.client.key_file.rename(folder / "devo/mydomain.key")
        if os.geteuid() == 0:
            os.chown(secret, 10001, 10001)
            secret.chmod(0o400)
        else:
            secret.chmod(0o644)
        Path(name).chmod(0o755)
        with Project(folder / "compose.yml") as services:
            until("connected", lambda: "server fluent-bit:24224: connected" in services.log("plugin"), services.tail)
            return f"the plugin reaches Fluent Bit; stop {services.stop()}"
