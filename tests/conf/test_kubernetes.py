"""examples/kubernetes against the Kubernetes schemas, and what it configures by the programs that read it."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp import __version__
from fluent_plugin_amp.cisco.credentials import StreamCredentials, render
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import ENVIRONMENT, EVENTS, events_of, plugin_command, write_config
from tests.servers import CONF, fluent_bit, need_kustomize

FOLDER = CONF.parent / "examples/kubernetes"
VERSIONS = ["1.28", "1.32", "1.36"]
OVERLAYS = ["base", "overlays/standby", "overlays/shards"]
CREDENTIALS = StreamCredentials(
    "SIEM", 6, "eu", "amqps://broker.example:443", "6-ab", "pass'\"word", "event_stream_6"
)


def manifests() -> dict[str, dict[str, Any]]:
    """The manifests of the base by kind, and the stream's Secret as amp-streams writes it."""
    base = yaml.safe_load((FOLDER / "base/kustomization.yml").read_text())
    documents = [yaml.safe_load((FOLDER / "base" / name).read_text()) for name in base["resources"]]
    return {
        **{document["kind"]: document for document in documents},
        "Secret": yaml.safe_load(render(CREDENTIALS, "kubernetes")),
    }


@cache
def kustomized(overlay: str) -> list[dict[str, Any]]:
    """All manifests of an overlay, as `kubectl apply -k` takes them."""
    need_kustomize()
    command = ["kubectl", "kustomize", str(FOLDER / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def valid(manifest: dict[str, Any], version: str) -> None:
    """The schema of this version of Kubernetes has nothing against it, and knows each field."""
    try:
        validate = import_module("kubernetes_validate").validate
    except ModuleNotFoundError:
        pytest.skip("not run: needs the Python package kubernetes-validate")
    validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(manifests()))
def test_the_schema(name: str, version: str) -> None:
    """Each manifest is valid in old and new versions of Kubernetes, without any field that is not known."""
    valid(manifests()[name], version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_joins_them(overlay: str, version: str) -> None:
    """What `kubectl` makes of each folder is valid as a whole, and no name in it is left over from before."""
    made = kustomized(overlay)
    for manifest in made:
        valid(manifest, version)
    found = {manifest["kind"]: manifest for manifest in made}
    assert len(found) == len(made)
    config = found["ConfigMap"]["metadata"]["name"]
    assert re.fullmatch(r"amp-[a-z0-9]{10}", config)
    volumes = found["StatefulSet"]["spec"]["template"]["spec"]["volumes"]
    assert [volume["configMap"]["name"] for volume in volumes if volume["name"] == "config"] == [config]
    images = [each["image"] for each in found["StatefulSet"]["spec"]["template"]["spec"]["containers"]]
    assert images == [f"fluent-plugin-amp:{__version__}", "fluent/fluent-bit:5.1.1"]


def configured(overlay: str, folder: Path, ordinal: int) -> Config:
    """The configuration of a pod of an overlay: its ConfigMap, its environment and its files."""
    found = {manifest["kind"]: manifest for manifest in kustomized(overlay)}
    container = found["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    environment = {each["name"]: each.get("value", str(ordinal)) for each in container.get("env", [])}
    secret = manifests()["Secret"]["stringData"]["stream.yml"]
    for name in ("stream", "acme", "globex"):
        (folder / f"{name}.yml").write_text(secret.replace("SIEM", name))
        (folder / f"{name}.yml").chmod(0o600)
    text: str = found["ConfigMap"]["data"]["config.yml"]
    text = text.replace("/run/secrets/amp-stream", str(folder)).replace("/var/lib/fluent-plugin-amp", str(folder))
    file = folder / "config.yml"
    file.write_text(text)
    return load(file, environment)


def test_no_two_pods_read_a_stream(tmp_path: Path) -> None:
    """Where there are several pods, the streams are exclusive in each of them from its first start."""
    assert [stream.exclusive for stream in configured("base", tmp_path, 0).streams] == [False]
    replicas = {
        overlay: manifest["spec"]["replicas"]
        for overlay in OVERLAYS
        for manifest in kustomized(overlay)
        if manifest["kind"] == "StatefulSet"
    }
    assert replicas == {"base": 1, "overlays/standby": 2, "overlays/shards": 2}
    for overlay in OVERLAYS[1:]:
        for ordinal in range(replicas[overlay]):
            assert all(stream.exclusive for stream in configured(overlay, tmp_path, ordinal).streams)


def test_the_shards_are_all_there(tmp_path: Path) -> None:
    """As many pods as shards, each with its ordinal; every Secret is mounted where the configuration looks."""
    shards = [configured("overlays/shards", tmp_path, ordinal).shard for ordinal in range(2)]
    assert [(shard.index, shard.of) for shard in shards if shard] == [(0, 2), (1, 2)]
    found = {manifest["kind"]: manifest for manifest in kustomized("overlays/shards")}
    volumes = {each["name"]: each for each in found["StatefulSet"]["spec"]["template"]["spec"]["volumes"]}
    mounted = [
        item["path"] for source in volumes["stream"]["projected"]["sources"] for item in source["secret"]["items"]
    ]
    text = found["ConfigMap"]["data"]["config.yml"]
    assert re.findall(r"/run/secrets/amp-stream/(\S+)", text) == mounted


def test_the_way_out_is_open() -> None:
    """The network policy lets the pod reach Devo, the broker and the name servers, and Prometheus the pod."""
    policy = manifests()["NetworkPolicy"]["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 443}
    named = {port["name"] for container in pod()["containers"] for port in container["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == named
    assert policy["podSelector"] == manifests()["StatefulSet"]["spec"]["selector"]


def pod() -> dict[str, Any]:
    """The pod."""
    spec: dict[str, Any] = manifests()["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def test_names_fit_together() -> None:
    """Volumes, selectors and the Secret that `amp-streams create --format kubernetes` writes are found."""
    found = manifests()
    spec, labels = found["StatefulSet"]["spec"], found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        spec["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    mounts = {mount["name"] for container in pod()["containers"] for mount in container["volumeMounts"]}
    assert mounts == volumes.keys() | claims
    assert volumes["stream"]["secret"]["secretName"] == found["Secret"]["metadata"]["name"]
    assert spec["serviceName"] == found["Service"]["metadata"]["name"]


def test_the_pod_is_confined() -> None:
    """No root, no privileges, a read-only root file system, bounded memory, in every container."""
    assert pod()["securityContext"]["runAsNonRoot"]
    for container in pod()["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert container["livenessProbe"]
        assert container["readinessProbe"]
        assert not container["image"].endswith(":latest")


def test_the_plugin_reads_it(tmp_path: Path) -> None:
    """The ConfigMap's config.yml loads with the Secret's file where the pod mounts it."""
    found = manifests()
    (tmp_path / "stream.yml").write_text(found["Secret"]["stringData"]["stream.yml"])
    (tmp_path / "stream.yml").chmod(0o600)
    mounts = {mount["name"]: mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]}
    text: str = (FOLDER / "base/config.yml").read_text()
    assert f"{mounts['stream']}/stream.yml" in text
    assert f"path: {mounts['plugin-state']}/" in text
    file = tmp_path / "config.yml"
    file.write_text(text.replace(mounts["stream"], str(tmp_path)).replace(mounts["plugin-state"], str(tmp_path)))
    config = load(file, {})
    stream = config.streams[0]
    assert (stream.url, stream.username, stream.queue) == (CREDENTIALS.url, CREDENTIALS.username, CREDENTIALS.queue)
    assert stream.password.get_secret_value() == CREDENTIALS.password
    assert str(config.forward.servers[0].unix_path) == "/run/forward/forward.sock"
    port = pod()["containers"][0]["ports"][0]["containerPort"]
    assert f"listen: 0.0.0.0:{port} " in text


def test_fluent_bit_reads_it(tmp_path: Path, certificates: Certificates) -> None:
    """Real Fluent Bit runs the ConfigMap's file: events come in by the Unix socket and leave over TLS."""
    text: str = (FOLDER / "base/fluent-bit.yaml").read_text()
    socket_file = tmp_path / "forward.sock"
    with SyslogReceiver(server_context(certificates.server, client_ca_file=certificates.ca_file)) as receiver:
        for old, new in {
            "/run/forward/forward.sock": str(socket_file),
            "/var/lib/fluent-bit/storage": str(tmp_path / "storage"),
            "http_server: on": "http_server: off",
            "collector-us.devo.io": "localhost",
            "port: 443": f"port: {receiver.port}",
            "/run/secrets/devo/chain.crt": str(certificates.ca_file),
            "/run/secrets/devo/mydomain.crt": str(certificates.client.cert_file),
            "/run/secrets/devo/mydomain.key": str(certificates.client.key_file),
        }.items():
            assert old in text
            text = text.replace(old, new)
        with fluent_bit(tmp_path, text, socket_file):
            config = write_config(tmp_path, 1, forward={"servers": [{"unix_path": str(socket_file)}]})
            lines = "".join(json.dumps(event) + "\n" for event in EVENTS).encode()
            command = plugin_command("replay", config, "-")
            subprocess.run(command, input=lines, env=ENVIRONMENT, check=True, timeout=60)
            header = b"<14>Jan  1 00:00:00 amp-forwarder edr.cisco.amp.events: "
            assert events_of(receiver.wait_for(len(EVENTS)), header) == EVENTS
