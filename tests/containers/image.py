"""The image of the Dockerfile: how it is built, and one container of it through each trouble."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fluent_plugin_amp import __version__
from fluent_plugin_amp.cisco.credentials import StreamCredentials
from tests.containers.engine import ROOT, Failed, call, docker, inspect, until

IMAGE = f"fluent-plugin-amp:{__version__}"
NAME = "fluent-plugin-amp-try"
STATE = f"{NAME}-state"
CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")

STREAM_AWAY = StreamCredentials("EMEA", 6, "eu", "amqps://127.0.0.1:9", "6-ab", "secret", "event_stream_6")
"""A stream of a broker that is away."""

# A broker that is away: the plugin runs all the same, and tries again.
GOOD = """\
streams:
  - {name: emea, url: "amqps://127.0.0.1:9", username: u, queue: q, password: p}
forward: {servers: [{host: 127.0.0.1, port: 9}]}
state: {path: /var/lib/fluent-plugin-amp/state.db}
"""


def log() -> str:
    """What the container logged."""
    return call("logs", NAME).stdout


def ask(code: str) -> str:
    """What a piece of Python prints that runs in the container."""
    return docker("exec", NAME, "python", "-c", code)


def status_code(path: str) -> str:
    """The answer of the plugin's own endpoint, asked from inside."""
    return ask(
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 24280, timeout=5);"
        f"c.request('GET', '{path}'); print(c.getresponse().status)"
    )


def proc_status(field: str) -> str:
    """A field of process 1."""
    found = re.search(rf"^{field}:\s*(\S+)", ask("print(open('/proc/1/status').read())"), re.MULTILINE)
    if found is None:
        raise Failed(f"/proc/1/status has no {field}")
    return found[1]


@contextmanager
def configuration(text: str) -> Iterator[str]:
    """The option that mounts a configuration."""
    with tempfile.TemporaryDirectory(prefix=NAME) as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "config.yml")
        file.write_text(text)
        file.chmod(0o644)
        yield f"--volume={file}:/etc/fluent-plugin-amp/config.yml:ro"


def started(times: int = 1) -> None:
    """Wait until the plugin says that it started, for the first or a later time."""
    until("started", lambda: log().count(" info    started: ") >= times, log)


@contextmanager
def running(*options: str) -> Iterator[None]:
    """A container of its own, started."""
    clean_up()
    with configuration(GOOD) as mounted:
        docker(
            *("run", "--detach", f"--name={NAME}", f"--volume={STATE}:/var/lib/fluent-plugin-amp", mounted),
            *(*CONFINED, *options, IMAGE),
        )
        try:
            started()
            yield
        finally:
            clean_up()


def clean_up() -> None:
    """Nothing stays."""
    call("rm", "--force", "--volumes", NAME)
    call("volume", "rm", "--force", STATE)


def state(*names: str) -> Any:
    """From the engine's knowledge of the container's state."""
    found: Any = inspect("container", NAME)["State"]
    for name in names:
        found = found[name]
    return found


# --- the tries ---------------------------------------------------------------------------------------------------


def built() -> str:
    """The image is built, and says what it is."""
    epoch = re.search(r"(?m)^ARG SOURCE_DATE_EPOCH=(\d+)$", (ROOT / "Dockerfile").read_text())
    if epoch is None:
        raise Failed("the Dockerfile has no SOURCE_DATE_EPOCH")
    docker("build", "--quiet", f"--build-arg=SOURCE_DATE_EPOCH={epoch[1]}", f"--tag={IMAGE}", ".")
    image = inspect("image", IMAGE)
    if image["Config"]["Labels"]["org.opencontainers.image.version"] != __version__:
        raise Failed(f"labels: {image['Config']['Labels']}")
    base = re.search(r"(?m)^ARG PYTHON_IMAGE=(.*)$", (ROOT / "Dockerfile").read_text())
    below = inspect("image", base[1])["Size"] if base and not call("image", "inspect", base[1]).returncode else 0
    on_top = f", {(image['Size'] - below) / 1e6:.0f} MB of it on top of {base[1]}" if base and below else ""
    return f"{image['Size'] / 1e6:.0f} MB{on_top}"


def built_again() -> str:
    """A second build, from the beginning, gives the same layers."""
    first = inspect("image", IMAGE)
    epoch = re.search(r"(?m)^ARG SOURCE_DATE_EPOCH=(\d+)$", (ROOT / "Dockerfile").read_text())
    again = f"{NAME}:again"
    docker("build", "--no-cache", "--quiet", f"--build-arg=SOURCE_DATE_EPOCH={epoch and epoch[1]}", f"-t{again}", ".")
    second = inspect("image", again)
    call("image", "rm", again)
    if first["RootFS"] != second["RootFS"]:
        raise Failed(f"layers differ: {first['RootFS']} and {second['RootFS']}")
    if first["Id"] == second["Id"]:
        return "the same image"
    return "the same layers; the time of the build differs (BuildKit before 0.11)"


def inventory() -> str:
    """`make sbom` names each distribution that is installed in the image, and no other."""
    with tempfile.TemporaryDirectory(prefix=NAME) as folder:
        docker("build", "--target=sbom", f"--output=type=local,dest={folder}", ".")
        written = json.loads(Path(folder, "fluent-plugin-amp.cdx.json").read_text())
    listed = sorted(f"{component['name']}=={component['version']}" for component in written["components"])
    code = "import importlib.metadata as m; print('\\n'.join(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = sorted(docker("run", "--rm", "--entrypoint=python", IMAGE, "-c", code).splitlines())
    if listed != installed:
        raise Failed(f"only listed or only installed: {set(listed) ^ set(installed)}")
    return f"{len(listed)} distributions, CycloneDX {written['specVersion']}"


def ready() -> str:
    """It runs as its own user, without capabilities, on a file system that it cannot write to."""
    with running():
        found = [proc_status(field) for field in ("Uid", "CapEff", "NoNewPrivs")]
        if found != ["10001", "0000000000000000", "1"]:
            raise Failed(f"user, capabilities, no new privileges: {found}")
        if call("exec", NAME, "python", "-c", "open('/etc/fluent-plugin-amp/x', 'w')").returncode == 0:
            raise Failed("the root file system can be written to")
        stamp = r"(?m)^(\S+Z) info    started: "
        said = re.search(stamp, log())
        began = datetime.fromisoformat(state("StartedAt")[:26].rstrip("Z") + "+00:00")
        if said is None:
            raise Failed(log())
        took = datetime.fromisoformat(said[1].replace("Z", "+00:00")) - began
        return f"in {took.total_seconds():.1f} s, user 10001, {int(proc_status('VmRSS')) / 1024:.0f} MiB resident"


def healthy() -> str:
    """With the broker away it is healthy, since a restart would not help, and not ready."""
    with running("--health-interval=1s"):
        until("healthy", lambda: state("Health", "Status") == "healthy", log)
        if (code := status_code("/readyz")) != "503":
            raise Failed(f"/readyz answers {code}")
        return "healthy; `/readyz` answers 503"


def hung() -> str:
    """A process that stands still is seen."""
    with running("--health-interval=1s", "--health-timeout=2s", "--health-start-period=0s"):
        docker("kill", "--signal=STOP", NAME)
        until("unhealthy", lambda: state("Health", "Status") == "unhealthy", log)
        docker("kill", "--signal=CONT", NAME)
        until("healthy again", lambda: state("Health", "Status") == "healthy", log)
        return "unhealthy; after SIGCONT healthy"


def killed() -> str:
    """The state volume outlives `kill -9`."""
    with running():
        docker("kill", "--signal=KILL", NAME)
        docker("start", NAME)
        started(times=2)
        if (used := log().count("state.db: in use")) != 2:
            raise Failed(f"the state file was in use {used} times\n{log()}")
        return "started again with the same state file"


def stopped() -> str:
    """SIGTERM ends it in order."""
    with running():
        began = time.monotonic()
        docker("stop", "--time=30", NAME)
        took = time.monotonic() - began
        if (code := state("ExitCode")) != 0:
            raise Failed(f"exit code {code}\n{log()}")
        return f"exit code 0 in {took:.1f} s"


def reloaded() -> str:
    """SIGHUP from inside, as `kubectl exec` sends it."""
    with running():
        docker("exec", NAME, "sh", "-c", "kill -HUP 1")
        until("read again", lambda: "SIGHUP: reading the configuration again" in log(), log)
        return "the configuration is read again"


def wrong() -> str:
    """A mistake in the configuration, and none at all, are told."""
    with configuration(GOOD.replace("streams", "strems")) as mounted:
        ended_with_78("[config.invalid]", "did you mean `streams`?", options=[mounted])
    ended_with_78("/etc/fluent-plugin-amp/config.yml", options=[])
    return "78 and the message: a mistake, and no file"


def ended_with_78(*said: str, options: list[str]) -> None:
    """It ends at once, and says these texts."""
    done = call("run", "--rm", *CONFINED, *options, IMAGE)
    if done.returncode != 78 or not all(text in done.stdout for text in said):
        raise Failed(f"exit code {done.returncode}\n{done.stdout}")


TRIES: dict[str, Callable[[], str]] = {
    "build": built,
    "build again from nothing": built_again,
    "`make sbom`": inventory,
    "start, read-only and without capabilities": ready,
    "broker away": healthy,
    "SIGSTOP": hung,
    "kill -9, with the state volume": killed,
    "SIGHUP": reloaded,
    "SIGTERM": stopped,
    "wrong configuration": wrong,
}
