"""Kubernetes in docs/install.md, as far as it goes without a cluster: the commands, and the pod that they ask for.

The commands of the page are run word for word.  A `kubectl` before the real one on PATH keeps what a cluster would be
told: the Secret, and the manifests as the real one renders them.  Then the containers of the pod are run by this
engine, with the images, users, mounts and restrictions of the manifests.  They share their network, and have volumes
of the group that ``fsGroup`` names, as a kubelet does it.  What only a cluster has (its API server, its scheduler,
its network policies) is not tried.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from tests.containers.engine import Failed, NotRun, call, docker, inspect, need_images, until
from tests.containers.image import CONFINED, IMAGE
from tests.containers.page import KUBERNETES, NETWORK, try_out
from tests.containers.world import EVENTS

NAME = "fluent-plugin-amp-try-pod"
VERSIONS = ("1.28", "1.32", "1.36")
KINDS = ("ConfigMap", "Secret", "Secret", "Service", "PodDisruptionBudget", "NetworkPolicy", "StatefulSet")

_KUBECTL = """\
#!/bin/sh -e
case "$1" in
create) {kubectl} "$@" --dry-run=client --output=yaml >> {told}; echo --- >> {told} ;;
apply) test "$2" = -k; {kubectl} kustomize "$3" >> {told} ;;
*) echo "no cluster: $*"; exit 1 ;;
esac
"""


def name_of(container: str) -> str:
    """Its name with the engine."""
    return f"{NAME}-{container}"


class Pod:
    """The pod of some manifests.

    Args:
        manifests: as a cluster is told.
        folder: for what its volumes have in them.
    """

    def __init__(self, manifests: list[dict[str, Any]], folder: Path) -> None:
        self._folder = folder
        self._by_name = {
            each["metadata"]["name"]: each for each in manifests if each["kind"] in ("ConfigMap", "Secret")
        }
        self._set: dict[str, Any] = next(each["spec"] for each in manifests if each["kind"] == "StatefulSet")
        self.spec: dict[str, Any] = self._set["template"]["spec"]
        self._disks = [claim["metadata"]["name"] for claim in self._set["volumeClaimTemplates"]]
        self._disks += [volume["name"] for volume in self.spec["volumes"] if "emptyDir" in volume]
        self.names = [name_of(container["name"]) for container in self.spec["containers"]]

    def _sources(self) -> dict[str, str]:
        """Where each volume of the pod comes from; ConfigMap and Secrets are folders, as a kubelet makes them."""
        group = self.spec["securityContext"]["fsGroup"]
        sources = {name: name_of(name) for name in self._disks}
        for volume in self.spec["volumes"]:
            if "emptyDir" in volume:
                continue
            name = volume["configMap"]["name"] if "configMap" in volume else volume["secret"]["secretName"]
            sources[volume["name"]] = str(write(self._by_name[name], self._folder / volume["name"]))
        for path in (self._folder, *self._folder.rglob("*")):
            os.chown(path, 0, group)
            path.chmod(0o750 if path.is_dir() else 0o440)
        for name in self._disks:
            docker("volume", "create", name_of(name))
            code = f"import os; os.chown('/x', 0, {group}); os.chmod('/x', 0o2775)"
            docker(
                "run", "--rm", "--user=root", f"--volume={name_of(name)}:/x", "--entrypoint=python", IMAGE, "-c", code
            )
        return sources

    def start(self, network: str) -> None:
        """Its containers, in a network."""
        self.remove()
        need_images(*(container["image"] for container in self.spec["containers"]))
        context = self.spec["securityContext"]
        user = f"--user={context['runAsUser']}:{context['runAsGroup']}"
        sources = self._sources()
        option = f"--network={network}"
        for container in self.spec["containers"]:
            mounts = [
                f"--volume={sources[mount['name']]}:{mount['mountPath']}{':ro' * mount.get('readOnly', False)}"
                for mount in container["volumeMounts"]
            ]
            head = ["run", "--detach", f"--name={name_of(container['name'])}", user, *CONFINED, option]
            docker(*head, *mounts, container["image"], *container["args"])
            option = f"--network=container:{self.names[0]}"

    def remove(self) -> None:
        """Nothing stays."""
        call("rm", "--force", *reversed(self.names))
        call("volume", "rm", "--force", *(name_of(name) for name in self._disks))

    def answers(self) -> None:
        """Wait until each probe is answered; then a record goes over the socket and is acknowledged."""
        for container in self.spec["containers"]:
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for kind in ("livenessProbe", "readinessProbe"):
                probe = container[kind]["httpGet"]
                url = f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}"
                code = f"import urllib.request as r; r.urlopen('{url}', timeout=5)"
                until(url, lambda code=code: not in_plugin("python", "-c", code).returncode, self.logs)  # type: ignore[misc]
        done = in_plugin("fluent-plugin-amp", "check", "--end-to-end")
        if "one record acknowledged" not in done.stdout:
            raise Failed(f"{done.stdout}\n{self.logs()}")

    def logs(self) -> str:
        """The end of each log."""
        return "\n".join(call("logs", name).stdout[-1500:] for name in self.names)

    def stop(self) -> float:
        """End it as a kubelet does; the seconds that it took.  Raises Failed when one did not end well."""
        began = time.monotonic()
        docker("stop", f"--time={self.spec['terminationGracePeriodSeconds']}", *self.names)
        took = time.monotonic() - began
        codes = {name: inspect("container", name)["State"]["ExitCode"] for name in self.names}
        if set(codes.values()) != {0}:
            raise Failed(f"exit codes {codes}\n{self.logs()}")
        return took


def write(manifest: dict[str, Any], folder: Path) -> Path:
    """A ConfigMap or a Secret as files."""
    folder.mkdir()
    for name, text in {**manifest.get("data", {}), **manifest.get("stringData", {})}.items():
        encoded = manifest["kind"] == "Secret" and name in manifest.get("data", {})
        (folder / name).write_bytes(base64.b64decode(text) if encoded else text.encode())
    return folder


def in_plugin(*command: str) -> Any:
    """A command in the plugin's container."""
    return call("exec", name_of("plugin"), *command)


@contextmanager
def told(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """An environment whose `kubectl` keeps what it would tell a cluster, and the file where it does."""
    real = shutil.which("kubectl")
    if real is None:
        raise NotRun("needs kubectl on PATH")
    file, shim = folder / "told.yml", folder / "bin/kubectl"
    shim.parent.mkdir()
    shim.write_text(_KUBECTL.format(kubectl=real, told=file))
    shim.chmod(0o755)
    yield {"PATH": f"{shim.parent}:{os.environ['PATH']}"}, file


def pod() -> str:
    """The page's commands; then events go through the pod, also after `kill -9` of Fluent Bit; both end in order."""
    with (
        tempfile.TemporaryDirectory(prefix=NAME) as name,
        try_out() as (checkout, world),
        told(Path(name)) as (environment, file),
    ):
        checkout.run(KUBERNETES, environment=environment)
        manifests = [each for each in yaml.safe_load_all(file.read_text()) if each]
        if sorted(each["kind"] for each in manifests) != sorted(KINDS):
            raise Failed(f"a cluster is told of {[each['kind'] for each in manifests]}")
        validate = import_module("kubernetes_validate").validate
        for version in VERSIONS:
            for manifest in manifests:
                validate(manifest, version, strict=True)
        volumes = Path(name, "volumes")
        volumes.mkdir()
        running = Pod(manifests, volumes)
        try:
            running.start(NETWORK)
            running.answers()
            world.deliver(plugin=name_of("plugin"))
            docker("kill", "--signal=KILL", name_of("fluent-bit"))
            docker("start", name_of("fluent-bit"))
            running.answers()
            world.deliver(plugin=name_of("plugin"))
            took = running.stop()
        finally:
            running.remove()
    return (
        f"manifests valid in {', '.join(VERSIONS)}; in the pod's containers {EVENTS} events delivered once, "
        f"again after kill -9 of Fluent Bit; both end in {took:.1f} s; no cluster"
    )
