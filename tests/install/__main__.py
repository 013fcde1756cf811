"""``make install-try MACHINE=…``: docs/install.md on a clean Debian, by the commands of the page.

Each way goes from nothing to delivered events and back: install, deliver, upgrade, deliver, roll back, deliver,
uninstall, and nothing is left behind.  Broker and receiver run here: on its loopback the machine must find what this
process starts there.  The Debian package is tried where ``dist/`` has it, made for the release of the machine.

``WHEELHOUSE``, a folder, stands for the package index where the machine has none.  Prints a row for each way; exit
code 1 when one failed, or when there is no machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

from fluent_plugin_amp import __version__
from fluent_plugin_amp.testing.certificates import Certificates, make_certificates
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.install.machine import USER, Failed, Machine
from tests.install.page import PAGE, blocks
from tests.install.ways import HAS_SYSTEMD, LEFT_BEHIND, WAYS, Delivered, Does, Way

ROOT = Path(__file__).parents[2]
EVENTS = 100
NEXT = "0.2.0"
"""The version that the page upgrades to: this one under another number."""
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "fluent_plugin_amp", "conf", "examples", "share")
"""What a wheel is built from."""
ARRIVAL_S = 120.0
CA = "/usr/local/share/ca-certificates/amp-try.crt"


class World:
    """Cisco's broker and the receiver, as the machine sees them."""

    def __init__(self, folder: Path, certificates: Certificates, machine: Machine) -> None:
        self.machine = machine
        self._broker = PrivateRabbitMQ(certificates=certificates, folder=folder / "rabbitmq")
        self._ids = count(2**60)
        self._published: list[int] = []
        self.stream = folder / "stream.yml"

    async def __aenter__(self) -> World:
        await asyncio.to_thread(self._broker.start)
        stream = await asyncio.to_thread(self._broker.create_stream)
        self._queue = stream.queue
        login = {"url": stream.tls_url, "username": stream.username, "password": stream.password}
        self.stream.write_text(json.dumps({"name": "siem", "id": 1, "cloud": "eu", "queue": stream.queue, **login}))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._broker.close)

    async def deliver(self, way: Way, receiver: FakeFluentd) -> None:
        """Events happen, and each arrives once."""
        ids = [next(self._ids) for _ in range(EVENTS)]
        self._published += ids
        bodies = [json.dumps({"id": number, "event_type": "Threat Detected"}).encode() for number in ids]
        await asyncio.to_thread(self._broker.publish, self._queue, bodies)
        await asyncio.to_thread(self.machine.run, way.deliver, root=way.root)
        deadline = time.monotonic() + ARRIVAL_S
        try:
            while not set(self._published) <= set(ids := await self._arrived(way, receiver)):
                if time.monotonic() > deadline:
                    log = await asyncio.to_thread(self.machine.run, "tail --lines 20 *.log || true", root=way.root)
                    raise Failed(f"{len(ids)} of {len(self._published)} events arrived\n{log}")
                await asyncio.sleep(0.2)
        finally:
            await asyncio.to_thread(self.machine.run, way.end, root=way.root)
        if sorted(await self._arrived(way, receiver)) != self._published:
            raise Failed("events arrived twice")

    async def _arrived(self, way: Way, receiver: FakeFluentd) -> list[int]:
        """The ids of the events so far."""
        if not way.shows:
            return [record["id"] for record in receiver.records if "id" in record]
        shown = await asyncio.to_thread(self.machine.run, way.shows, root=way.root)
        return [int(number) for number in re.findall(r'\{"id":(\d+),', shown)]

    def forget(self) -> None:
        """What was published before is another way's."""
        self._published.clear()


async def try_way(world: World, way: Way) -> str:
    """All steps of one way; what was seen.  Raises Failed."""
    machine, page = world.machine, blocks(PAGE.read_text("utf-8"))
    world.forget()
    async with FakeFluentd(port=way.port) as receiver:
        for step in way.steps:
            if isinstance(step, Delivered):
                await world.deliver(way, receiver)
                continue
            if isinstance(step, Does):
                scripts = [step.script]
            else:
                heading, number = (step, None) if isinstance(step, str) else step
                scripts = page[heading] if number is None else [page[heading][number]]
            for script in scripts:
                try:
                    await asyncio.to_thread(machine.run, script, root=way.root)
                except Failed as error:
                    raise Failed(f"{script}\n{error}") from error
    left = await asyncio.to_thread(left_behind, machine)
    if left:
        raise Failed(f"left behind: {left}")
    turns = sum(isinstance(step, Delivered) for step in way.steps)
    return f"{turns} × {EVENTS} events delivered once, nothing left behind"


def left_behind(machine: Machine) -> str:
    """What is there of the plugin."""
    return machine.run(f"ls -d {' '.join(LEFT_BEHIND)} 2>/dev/null || true; getent passwd fluent-plugin-amp || true")


def make_files(folder: Path) -> list[tuple[str, Path]]:
    """What the page takes for granted in ``dist/``: this version, and the next."""
    dist = folder / "dist"
    dist.mkdir()
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, checkout / name)
    version = checkout / "fluent_plugin_amp/__init__.py"
    for number in (__version__, NEXT):
        version.write_text(version.read_text().replace(__version__, number))
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(checkout)]
        subprocess.run(build, check=True, capture_output=True)
    for package in (ROOT / "dist").glob(f"*_{__version__}_*.deb"):
        shutil.copy(package, dist)
        next_package(package, folder / "package", dist / package.name.replace(__version__, NEXT))
    return [(f"dist/{path.name}", path) for path in dist.iterdir()]


def next_package(package: Path, folder: Path, to: Path) -> None:
    """The same Debian package as the next version."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"\nVersion: {__version__}\n", f"\nVersion: {NEXT}\n"))
    build = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(folder), str(to)]
    subprocess.run(build, check=True, capture_output=True)


async def try_all(machine: Machine, ways: list[Way]) -> bool:
    """A row for each; whether none failed."""
    good = True
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="install-")))
        certificates = make_certificates(folder / "certificates")
        files = make_files(folder)
        world = await stack.enter_async_context(World(folder, certificates, machine))
        machine.run(f"id -u {USER} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {USER}")
        machine.put([*files, ("stream.yml", world.stream), ("ca.crt", certificates.ca_file)])
        if wheelhouse := os.environ.get("WHEELHOUSE"):
            machine.put([("wheelhouse", Path(wheelhouse))])
        # Cisco's certificate is one that the machine trusts, and so is its stand-in's.
        machine.run(f"cp ca.crt {CA} && update-ca-certificates")
        stack.callback(machine.run, f"rm -rf {CA} ~/amp-try && update-ca-certificates && userdel --remove {USER}")
        for way in ways:
            if not good:
                print(f"| {way.name} | not run: the machine is not clean any more |", flush=True)
                continue
            if not all(map(machine.answers, way.needs)):
                print(f"| {way.name} | not run: needs `{'`, `'.join(way.needs)}` |", flush=True)
                continue
            try:
                print(f"| {way.name} | {await try_way(world, way)} |", flush=True)
            except Failed as error:
                good = False
                print(f"| {way.name} | **FAILED** |\n{error}", flush=True)
    return good


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.install", description=__doc__)
    parser.add_argument("--machine", default="", help="a command that runs a shell command as root on a clean Debian")
    parser.add_argument("-k", metavar="TEXT", default="", help="only ways with this in their names")
    given = parser.parse_args()
    if not given.machine:
        print("not run: needs a clean Debian, such as MACHINE='docker exec -i clean sh -c'")
        return 1
    machine = Machine(given.machine, has_wheelhouse=bool(os.environ.get("WHEELHOUSE")))
    if left := left_behind(machine):
        print(f"not run: the machine has a plugin already: {left}")
        return 1
    release = machine.run(". /etc/os-release; echo $PRETTY_NAME").strip()
    print(f"| way | {release}{', systemd' if machine.answers(HAS_SYSTEMD) else ''} |\n|---|---|")
    good = asyncio.run(try_all(machine, [way for way in WAYS if given.k in way.name]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
