"""The ways of docs/install.md that need an engine: its commands, word for word, from a checkout to delivered events.

`WAYS` has the headings whose blocks are run here.  The checkout is a copy, with the files that the page takes for
granted.  Broker and collector are containers.  The image, once built, gets the authority of their certificates, as a
company's own authority would get into it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fluent_plugin_amp import __version__
from fluent_plugin_amp.testing.ports import free_port
from tests.containers.engine import ROOT, Failed, NotRun, call, docker, inspect, need_images, until
from tests.containers.image import IMAGE
from tests.containers.world import EVENTS, World
from tests.install.page import PAGE, blocks

FLUENT_BIT = "fluent/fluent-bit:5.1.1"
NEXT = "0.2.0"
"""The version that the page upgrades to: this one under another number."""
NAME = "fluent-plugin-amp"
"""Of the container and, with an ending, of the volume that `docker run` makes on the page."""
PROJECT = "fluent-plugin-amp-try"
NETWORK = f"{PROJECT}_default"
RECEIVER = f"{PROJECT}-receiver"

BUILD = "Containers"
COMPOSE = ("With compose", "Upgrade with compose", "Remove with compose")
DOCKER_RUN = ("With docker run", "Remove with docker run")
KUBERNETES = "Kubernetes"
WAYS = (BUILD, *COMPOSE, *DOCKER_RUN, KUBERNETES)

_WITH_AUTHORITY = """\
FROM {image}
USER root
COPY ca.crt /usr/local/share/ca-certificates/amp-try.crt
RUN update-ca-certificates
USER 10001:10001
"""


class Checkout:
    """A copy of what the image is built from, in which the commands of the page are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in (".dockerignore", "Dockerfile", *copied()):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)

    def run(self, heading: str, number: int | None = None, environment: Mapping[str, str] | None = None) -> None:
        """The blocks below a heading, or one of them.  Raises Failed with what they printed."""
        found = blocks(PAGE.read_text("utf-8"))[heading]
        for script in found if number is None else [found[number]]:
            done = subprocess.run(
                ["bash", "-exc", script],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                env={**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, **(environment or {})},
            )
            if done.returncode:
                raise Failed(f"{script}\nexit code {done.returncode}\n{done.stdout[-3000:]}")

    def build(self, heading: str, version: str = __version__) -> None:
        """Run the block that builds the image; then let the image trust the stand-ins."""
        self.run(heading, 0)
        image = f"{NAME}:{version}"
        (self.folder / "try.Dockerfile").write_text(_WITH_AUTHORITY.format(image=image))
        (self.folder / "try.Dockerfile.dockerignore").write_text("*\n!ca.crt\n")
        docker("build", "--quiet", f"--file={self.folder}/try.Dockerfile", f"--tag={image}", str(self.folder))


def copied() -> set[str]:
    """What the Dockerfile copies."""
    lines = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text())
    return {name for line in lines for name in line.split()}


@contextmanager
def try_out(port: int | None = None) -> Iterator[tuple[Checkout, World]]:
    """A checkout whose image is built, in a world; all of it is removed again, and the image is as before."""
    if os.geteuid() != 0:
        raise NotRun("needs root, to give a file to the user of the image")
    need_images(IMAGE, FLUENT_BIT)
    before = inspect("image", IMAGE)["Id"]
    with tempfile.TemporaryDirectory(prefix=PROJECT) as name:
        Path(name).chmod(0o755)
        checkout = Checkout(Path(name, "checkout"))
        clean_up()
        # As compose makes it: it takes a network with these labels for its own.
        labels = {"project": PROJECT, "network": "default"}
        options = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        docker("network", "create", *options, NETWORK)
        try:
            world = World(NETWORK, checkout.folder, port)
            checkout.build(BUILD)
            with world:
                yield checkout, world
        finally:
            clean_up()
            docker("tag", before, IMAGE)
            call("image", "rm", f"{NAME}:{NEXT}")


def clean_up() -> None:
    """Nothing of a try stays."""
    World.leave()
    for service in ("plugin-1", "fluent-bit-1", "receiver"):
        call("rm", "--force", "--volumes", f"{PROJECT}-{service}")
    call("volume", "rm", "--force", f"{PROJECT}_plugin-state", f"{PROJECT}_fluent-bit-storage")
    call("network", "rm", NETWORK)


def compose() -> str:
    """With compose: installed, upgraded, removed."""
    build, upgrade, remove = COMPOSE
    plugin = f"{PROJECT}-plugin-1"
    with try_out() as (checkout, world):
        checkout.run(build)
        world.deliver(plugin=plugin)
        init = checkout.folder / "fluent_plugin_amp/__init__.py"
        init.write_text(init.read_text().replace(__version__, NEXT))
        checkout.build(upgrade, NEXT)
        checkout.run(upgrade, 1)
        if NEXT not in (version := docker("exec", plugin, NAME, "--version")):
            raise Failed(f"after the upgrade: {version}")
        world.deliver(plugin=plugin)
        state = docker("exec", plugin, NAME, "state", "show")
        if not re.search(rf"\bsiem +{2 * EVENTS}\b", state):
            raise Failed(f"the state file of before is not used\n{state}")
        world.leave()
        checkout.run(remove)
        left = docker("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={PROJECT}")
        if left or call("volume", "inspect", f"{PROJECT}_plugin-state").returncode == 0:
            raise Failed(f"left behind: {left or 'a volume'}")
    return f"built, run, upgraded: each time {EVENTS} events delivered once, through Fluent Bit and TLS; nothing left"


def docker_run() -> str:
    """With `docker run`: installed, removed."""
    run, remove = DOCKER_RUN
    if not call("container", "inspect", NAME).returncode or not call("volume", "inspect", f"{NAME}-state").returncode:
        raise NotRun(f"there is a container {NAME} or a volume {NAME}-state already")
    with try_out(free_port()) as (checkout, world):
        listening = ("--input=forward", "--prop=listen=127.0.0.1", "--output=stdout", "--match=*")
        docker("run", "--detach", f"--name={RECEIVER}", "--network=host", FLUENT_BIT, *listening)
        until("Fluent Bit", lambda: "listening on" in call("logs", RECEIVER).stdout, lambda: "")
        try:
            checkout.run(run)
            world.deliver(RECEIVER, plugin=NAME)
            checkout.run(remove)
        finally:
            call("rm", "--force", "--volumes", NAME)
            call("volume", "rm", "--force", f"{NAME}-state")
    return f"built, run: {EVENTS} events delivered once, to Fluent Bit on this machine; nothing left"
