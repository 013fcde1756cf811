"""examples/kubernetes against the Kubernetes schemas, and what it configures by the programs that read it."""

from __future__ import annotations

import json
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.cisco.credentials import StreamCredentials, render
from fluent_plugin_amp.config import load
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.syslog import SyslogReceiver
from tests.conf.ways import ENVIRONMENT, EVENTS, events_of, plugin_command, write_config
from tests.servers import CONF, fluent_bit

FOLDER = CONF.parent / "examples/kubernetes"
VERSIONS = ["1.28", "1.32", "1.36"]
CREDENTIALS = StreamCredentials(
    "SIEM", 6, "eu", "amqps://broker.example:443", "6-ab", "pass'\"word", "event_stream_6"
)


def manifests() -> dict[str, dict[str, Any]]:
    """The manifests of amp.yml by kind, the stream's Secret as amp-streams writes it, and the form with standby."""
    documents = list(yaml.safe_load_all((FOLDER / "amp.yml").read_text()))
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    patch = yaml.safe_load((FOLDER / "standby.yml").read_text())
    return {
        **found,
        "Secret": yaml.safe_load(render(CREDENTIALS, "kubernetes")),
        "with standby": merge(found["StatefulSet"], patch),
    }


def merge(base: Any, patch: Any) -> Any:
    """``patch`` laid over ``base``, as `kubectl patch` does for maps and plain values."""
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return patch
    return {key: merge(base.get(key), patch[key]) if key in patch else base[key] for key in {**base, **patch}}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(manifests()))
def test_the_schema(name: str, version: str) -> None:
    """Each manifest is valid in old and new versions of Kubernetes, without any field that is not known."""
    try:
        validate = import_module("kubernetes_validate").validate
    except ModuleNotFoundError:
        pytest.skip("not run: needs the Python package kubernetes-validate")
    validate(manifests()[name], version, strict=True)


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
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
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
    text: str = found["ConfigMap"]["data"]["config.yml"]
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
    text: str = manifests()["ConfigMap"]["data"]["fluent-bit.yaml"]
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
