"""The pod of examples/kubernetes/base as containers of this engine: the images, users and mounts that it asks for.

Containers share their network, and have volumes of the group that ``fsGroup`` names, as a kubelet does it.  What only
a cluster has (its scheduler, its network policies) is not tried.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fluent_plugin_amp.cisco.credentials import render
from fluent_plugin_amp.testing.certificates import make_certificates
from tests.containers.engine import ROOT, Failed, NotRun, call, docker, inspect, need_images, until
from tests.containers.image import CONFINED, IMAGE, STREAM_AWAY

BASE = ROOT / "examples/kubernetes/base"
NAME = "fluent-plugin-amp-try-pod"
SPEC: dict[str, Any] = yaml.safe_load((BASE / "statefulset.yml").read_text())["spec"]
POD: dict[str, Any] = SPEC["template"]["spec"]


def name_of(container: str) -> str:
    """Its name with the engine."""
    return f"{NAME}-{container}"


def log(container: str) -> str:
    """What it logged."""
    return call("logs", name_of(container)).stdout


def write(folder: Path) -> dict[str, str]:
    """ConfigMap and Secrets as folders, readable as a kubelet makes them; where each volume of the pod comes from."""
    group = POD["securityContext"]["fsGroup"]
    for name in ("config", "stream", "devo"):
        (folder / name).mkdir()
    for name in ("config.yml", "fluent-bit.yaml"):
        (folder / "config" / name).write_text((BASE / name).read_text())
    (folder / "stream/stream.yml").write_text(render(STREAM_AWAY, "yaml"))
    made = make_certificates(folder / "made")
    for name, path in {"chain.crt": made.ca_file, "mydomain.crt": made.client.cert_file}.items():
        path.rename(folder / "devo" / name)
    made.client.key_file.rename(folder / "devo/mydomain.key")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 0, group)
        path.chmod(0o750 if path.is_dir() else 0o440)
    volumes = {claim["metadata"]["name"] for claim in SPEC["volumeClaimTemplates"]} | {"forward"}
    for name in volumes:
        docker("volume", "create", name_of(name))
        code = f"import os; os.chown('/x', 0, {group}); os.chmod('/x', 0o2775)"
        mount = f"--volume={name_of(name)}:/x"
        docker("run", "--rm", "--user=root", mount, "--entrypoint=python", IMAGE, "-c", code)
    return {
        **{name: str(folder / name) for name in ("config", "stream", "devo")},
        **{name: name_of(name) for name in volumes},
    }


def clean_up() -> None:
    """Nothing stays."""
    for container in reversed(POD["containers"]):
        call("rm", "--force", name_of(container["name"]))
    for volume in [claim["metadata"]["name"] for claim in SPEC["volumeClaimTemplates"]] + ["forward"]:
        call("volume", "rm", "--force", name_of(volume))


@contextmanager
def running() -> Iterator[None]:
    """The pod."""
    if os.geteuid() != 0:
        raise NotRun("needs root, to give files to the pod's group")
    need_images(*(container["image"] for container in POD["containers"]))
    clean_up()
    context = POD["securityContext"]
    user = f"--user={context['runAsUser']}:{context['runAsGroup']}"
    with tempfile.TemporaryDirectory(prefix=NAME) as folder:
        try:
            sources = write(Path(folder))
            network: list[str] = []
            for container in POD["containers"]:
                mounts = [
                    f"--volume={sources[mount['name']]}:{mount['mountPath']}{':ro' * mount.get('readOnly', False)}"
                    for mount in container["volumeMounts"]
                ]
                head = ["run", "--detach", f"--name={name_of(container['name'])}", user, *CONFINED, *network]
                docker(*head, *mounts, container["image"], *container["args"])
                network = [f"--network=container:{name_of(POD['containers'][0]['name'])}"]
            yield
        finally:
            clean_up()


def answers() -> None:
    """Wait until each liveness probe is answered; then a record goes over the socket and is acknowledged."""
    for container in POD["containers"]:
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        probe = container["livenessProbe"]["httpGet"]
        url = f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}"
        code = f"import urllib.request as r; r.urlopen('{url}', timeout=5)"
        until(url, lambda code=code: not in_plugin("python", "-c", code).returncode, everything)  # type: ignore[misc]
    done = in_plugin("fluent-plugin-amp", "check", "-c", "/etc/fluent-plugin-amp/config.yml", "--end-to-end")
    if "one record acknowledged" not in done.stdout:
        raise Failed(f"{done.stdout}\n{everything()}")


def in_plugin(*command: str) -> Any:
    """A command in the plugin's container."""
    return call("exec", name_of("plugin"), *command)


def everything() -> str:
    """The end of both logs."""
    return "\n".join(log(container["name"])[-1500:] for container in POD["containers"])


def pod() -> str:
    """It starts as the manifest says; Fluent Bit's socket is found again after `kill -9`; both end in order."""
    with running():
        answers()
        docker("kill", "--signal=KILL", name_of("fluent-bit"))
        docker("start", name_of("fluent-bit"))
        answers()
        began = time.monotonic()
        names = [name_of(container["name"]) for container in POD["containers"]]
        docker("stop", f"--time={POD['terminationGracePeriodSeconds']}", *names)
        took = time.monotonic() - began
        codes = {name: inspect("container", name)["State"]["ExitCode"] for name in names}
        if set(codes.values()) != {0}:
            raise Failed(f"exit codes {codes}\n{everything()}")
        return f"a record acknowledged over the socket, again after kill -9 of Fluent Bit; both end in {took:.1f} s"
