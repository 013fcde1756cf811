"""The container engine of this machine, by the ``docker`` command; `DOCKER_HOST` tells which one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0


class Failed(Exception):
    """A container did not do what it should."""


class NotRun(Exception):
    """Something is missing to try it; the text says what."""


def call(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``docker`` with these arguments; both outputs come in ``stdout``.  It may fail."""
    return subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
    )


def docker(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What ``docker`` prints.  Raises Failed with the end of it when the command fails."""
    done = call(*arguments, environment=environment)
    if done.returncode:
        raise Failed(f"docker {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout.strip()


def inspect(kind: str, name: str) -> dict[str, Any]:
    """What the engine knows of a ``container`` or an ``image``."""
    found: dict[str, Any] = json.loads(docker(kind, "inspect", name))[0]
    return found


def need_images(*names: str) -> None:
    """Raise NotRun unless these images are here.  None is pulled: who runs this chooses where images come from."""
    for name in names:
        if call("image", "inspect", name).returncode:
            raise NotRun(f"image {name} is not here")


def until(what: str, happened: Callable[[], object], log: Callable[[], str]) -> None:
    """Wait for it.  Raises Failed with the end of the log."""
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        if time.monotonic() > deadline:
            raise Failed(f"not within {DEADLINE_S:.0f} s: {what}\n{log()[-3000:]}")
        time.sleep(0.1)
