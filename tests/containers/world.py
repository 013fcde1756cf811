"""Stand-ins for what is not the user's: Cisco's broker, and Devo's collector, as containers of a network.

Both have the names that a user's files have for them, and certificates of an authority that is made for the run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import trustme

from tests.containers.engine import ROOT, Failed, call, docker, need_images, until
from tests.containers.image import IMAGE

if TYPE_CHECKING:
    from typing_extensions import Self

RABBITMQ = "rabbitmq:4.1"
NAME = "fluent-plugin-amp-try-world"
BROKER, DEVO = "export-streaming.eu.amp.cisco.com", "collector-eu.devo.io"
EVENTS = 100
QUEUE = "event_stream_demo"
"""As in the definitions of examples/demo."""

_PUBLISH = """
import json
from fluent_plugin_amp.testing.publisher import Message, publish
bodies = [json.dumps({{"id": i, "event_type": "Threat Detected"}}).encode() for i in {ids}]
publish("127.0.0.1", 5672, "admin", "example", [Message("", "{queue}", body) for body in bodies])
"""


class World:
    """Broker and collector in a network.

    Args:
        network: which is there.
        folder: for certificates; ``stream.yml``, Devo's three files and ``ca.crt`` are put there.
        port: where the broker is found on this machine's loopback, too; the stream's URL has that address then.
    """

    def __init__(self, network: str, folder: Path, port: int | None = None) -> None:
        self._network = network
        self._ports = () if port is None else (f"--publish=127.0.0.1:{port}:5671",)
        self._made = folder / "made"
        self._first = 1
        authority = trustme.CA()
        self._made.mkdir()
        for name, leaf in {
            "server": authority.issue_cert(BROKER, DEVO, "localhost"),
            "client": authority.issue_cert("amp-client@localhost"),
        }.items():
            leaf.private_key_and_cert_chain_pem.write_to_path(self._made / f"{name}.both")
            leaf.private_key_pem.write_to_path(self._made / f"{name}.key")
            leaf.cert_chain_pems[0].write_to_path(self._made / f"{name}.pem")
        for path in (self._made / "ca.pem", folder / "chain.crt", folder / "ca.crt"):
            authority.cert_pem.write_to_path(path)
        (self._made / "client.pem").rename(folder / "mydomain.crt")
        (self._made / "client.key").rename(folder / "mydomain.key")
        url = f"amqps://localhost:{port}" if port else f"amqps://{BROKER}:5671"
        login = {"url": url, "username": "stream", "password": "example", "queue": QUEUE}
        (folder / "stream.yml").write_text(json.dumps({"name": "siem", "id": 1, "cloud": "eu", **login}))
        for path in (self._made, *self._made.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def __enter__(self) -> Self:
        need_images(RABBITMQ, IMAGE)
        self.leave()
        demo, etc = ROOT / "examples/demo", "/etc/rabbitmq"
        certificates = f"--volume={self._made}:/certificates:ro"
        docker(
            *("run", "--detach", f"--name={NAME}-broker", "--hostname=broker", certificates),
            *(f"--network={self._network}", f"--network-alias={BROKER}", *self._ports),
            f"--volume={demo}/rabbitmq.conf:{etc}/conf.d/20-example.conf:ro",
            *(f"--volume={demo}/definitions.json:{etc}/definitions.json:ro", RABBITMQ),
        )
        docker(
            *("run", "--detach", f"--name={NAME}-devo", certificates, "--user=root", "--no-healthcheck"),
            *(f"--network={self._network}", f"--network-alias={DEVO}", "--entrypoint=python", IMAGE),
            *("-m", "fluent_plugin_amp.testing.syslog", "--host=0.0.0.0", "--port=443"),
            *("--certificate=/certificates/server.pem", "--key=/certificates/server.key"),
            "--client-ca=/certificates/ca.pem",
        )
        # Not by the broker's own tools: root's would make the cookie that the broker then may not read.
        until("the broker", lambda: "startup complete" in self._log(), self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @staticmethod
    def leave() -> None:
        """Broker and collector are gone, and the network has no more of them."""
        call("rm", "--force", "--volumes", f"{NAME}-broker", f"{NAME}-devo")

    @staticmethod
    def _log() -> str:
        return call("logs", f"{NAME}-broker").stdout

    def publish(self) -> None:
        """The next events."""
        ids = range(self._first, self._first + EVENTS)
        self._first = ids.stop
        code = _PUBLISH.format(ids=list(ids), queue=QUEUE)
        network = f"--network=container:{NAME}-broker"
        docker("run", "--rm", "--no-healthcheck", network, "--entrypoint=python", IMAGE, "-c", code)

    def deliver(self, receiver: str = f"{NAME}-devo", plugin: str = "") -> None:
        """Publish events, and wait until all so far have arrived, each of them once.

        Args:
            receiver: the container whose log has a line for each event.
            plugin: the container whose log says why they do not arrive.
        """
        self.publish()
        sent = set(range(1, self._first))
        until("all events", lambda: set(arrived(receiver)) >= sent, lambda: call("logs", plugin).stdout)
        if len(arrived(receiver)) != len(sent):
            raise Failed(f"events arrived twice: {arrived(receiver)}")


def arrived(receiver: str) -> list[int]:
    """The ids of the events in the log of a container, as Devo gets them or Fluent Bit's `stdout` shows them."""
    return [int(number) for number in re.findall(r'\{"id"(?::|=>)(\d+),', call("logs", receiver).stdout)]
