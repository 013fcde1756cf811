"""``make containers``: the image and the compose files of this checkout, run by the Docker engine of this machine.

Needs a ``docker`` that answers, with compose; without them it says so, and exits 1.  It builds the plugin's image.
The other images that the compose files name are never pulled: what one is missing for is listed as not run.
Containers, volumes and the network have names of their own, and are removed afterwards.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from tests.containers import compose, image, page, pod
from tests.containers.engine import ROOT, Failed, NotRun, call, docker, need_images

RABBITMQ, FLUENT_BIT, FLUENTD = "rabbitmq:4.1", "fluent/fluent-bit:5.1.1", "fluent/fluentd:v1.18-debian-1"


def versions() -> str:
    """What the images have in them, whatever their names say."""
    need_images(RABBITMQ, FLUENT_BIT, FLUENTD)
    said = {
        "RabbitMQ": docker("run", "--rm", "--entrypoint=rabbitmqctl", RABBITMQ, "version"),
        "Fluent Bit": docker("run", "--rm", FLUENT_BIT, "--version"),
        "Fluentd": docker("run", "--rm", FLUENTD, "fluentd", "--version"),
    }
    found = {name: re.search(r"\d+\.\d+\.\d+", text) for name, text in said.items()}
    return ", ".join(f"{name} {number[0] if number else 'unknown'}" for name, number in found.items())


def integration() -> str:
    """tests/integration with its servers in containers, by pytest-docker."""
    need_images(RABBITMQ, FLUENT_BIT, FLUENTD)
    command = [sys.executable, "-m", "pytest", "-q", "tests/integration"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode or "skipped" in last:
        raise Failed(done.stdout[-3000:])
    return last.strip("= ")


class Table:
    """What was seen, a row each, printed as it comes."""

    def __init__(self) -> None:
        self.failures = 0
        docker_version = docker("version", "--format={{.Server.Version}}")
        print(f"| trouble | Docker {docker_version}, compose {docker('compose', 'version', '--short')} |\n|---|---|")

    def row(self, name: str, attempt: Callable[[], str]) -> None:
        """Try it."""
        try:
            said = attempt()
        except NotRun as missing:
            said = f"not run: {missing}"
        except Failed as error:
            self.failures += 1
            said = _failed(name, error)
        print(f"| {name} | {said} |", flush=True)


def _failed(name: str, error: Failed) -> str:
    """What the row says, in one line; the error may have many, and stands beside the table."""
    print(f"{name}: {error}", file=sys.stderr, flush=True)
    last = (str(error).strip().splitlines() or ["nothing was said"])[-1]
    return f"**FAILED**: {last.replace('|', chr(92) + '|')}"


def main() -> int:
    """Run all; a table of what was seen."""
    answers = shutil.which("docker") is not None and all(
        call(*command).returncode == 0 for command in (["info"], ["compose", "version"])
    )
    if not answers:
        print("not run: needs a Docker engine that answers, with compose (docker on PATH, DOCKER_HOST)")
        return 1
    table = Table()
    table.row("the other images", versions)
    for name, attempt in image.TRIES.items():
        table.row(name, attempt)
    for forward in ("fluent-bit", "fluentd"):
        try:
            compose.demo(forward, table.row)
        except NotRun as missing:
            print(f"| demo by {forward} | not run: {missing} |", flush=True)
        except Failed as error:
            table.failures += 1
            name = f"demo by {forward}"
            print(f"| {name} | {_failed(name, error)} |", flush=True)
    table.row("what `init --for compose` writes", compose.written_by_init)
    table.row("docs/install.md, with compose", page.compose)
    table.row("docs/install.md, with docker run", page.docker_run)
    table.row("docs/install.md, Kubernetes", pod.pod)
    table.row("tests/integration in containers", integration)
    return 1 if table.failures else 0


if __name__ == "__main__":
    sys.exit(main())
