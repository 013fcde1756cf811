"""Who is compared: programs that take events from the broker over TLS and send them to a Forward server.

Each is set up as its documentation recommends for reliability, and takes `PREFETCH` messages at a time.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fluent_plugin_amp
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD
from tests.bench.rig import Rig

HERE = Path(__file__).parent
TAG = "edr.cisco.amp.events"
PREFETCH = 500
GO_SOURCES = Path("/usr/share/gocode")
"""Where Debian's packages have the source of Go libraries."""

Start = Callable[[Rig, int, Path], "subprocess.Popen[bytes]"]
"""With the port of the server, and a folder that the shipper finds again when it is started again."""


class NotHere(Exception):
    """What is compared is not on this machine; the text says what is missing."""


@dataclass(frozen=True)
class Shipper:
    """One of them."""

    name: str
    acknowledges: str
    """When it acknowledges an event to the broker, for the table."""
    version: Callable[[Rig], str]
    """Of what it is made of.  NotHere: it cannot be started here."""
    start: Start
    into_receiver: bool = True
    """Its events go somewhere."""


def shippers() -> list[Shipper]:
    """All, ours first."""
    return [
        Shipper("fluent-plugin-amp", "the server acked the chunk", _our_version, _start_ours),
        Shipper(
            "fluent-plugin-amp, state file",
            "the server acked the chunk, and the state file remembers it",
            _our_version,
            partial(_start_ours, state=True),
        ),
        Shipper("Go bridge", "the server acked the batch", _go_version, _start_go),
        Shipper("Node bridge", "the server acked the chunk", _node_version, _start_node),
        Shipper("Python script", "it was handed to the logger", _python_version, _start_python),
        Shipper(
            "Fluentd, in_rabbitmq into out_forward",
            "it is in Fluentd's buffer on disk",
            _fluentd_version,
            partial(_start_fluentd, output=_FORWARD),
        ),
        Shipper(
            "Fluentd, in_rabbitmq into null",
            "it was read",
            _fluentd_version,
            partial(_start_fluentd, output="<match **>\n  @type null\n</match>\n"),
            into_receiver=False,
        ),
        Shipper(
            "Fluent Bit, in_amqp", "by itself, when it was sent by the broker", _fluent_bit_version, _start_fluent_bit
        ),
    ]


# --- ours ----------------------------------------------------------------------------------------


def _our_version(_rig: Rig) -> str:
    return f"{fluent_plugin_amp.__version__}, Python {platform.python_version()}"


def _start_ours(rig: Rig, port: int, folder: Path, *, state: bool = False) -> subprocess.Popen[bytes]:
    if state:
        return rig.start_plugin(port, state={"path": str(folder / "state.db")})
    return rig.start_plugin(port)


# --- bridges -------------------------------------------------------------------------------------


def _bridge(rig: Rig, port: int, folder: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    stream = rig.streams[0]
    options = {
        "url": stream.tls_url.replace("://", f"://{stream.username}:{stream.password}@"),
        "ca_file": str(rig.certificates.ca_file),
        "queue": stream.queue,
        "prefetch": PREFETCH,
        "host": "127.0.0.1",
        "port": port,
        "tag": TAG,
    }
    return _start(folder, *command, json.dumps(options))


def _start(folder: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _go_version(_rig: Rig) -> str:
    program = shutil.which("go")
    libraries = {
        "github.com/rabbitmq/amqp091-go": "golang-github-rabbitmq-amqp091-go-dev",
        "github.com/fluent/fluent-logger-golang": "golang-github-fluent-fluent-logger-golang-dev",
    }
    missing = [package for path, package in libraries.items() if not (GO_SOURCES / "src" / path).is_dir()]
    missing += [] if program else ["golang-go"]
    if missing:
        raise NotHere(f"needs Debian's {', '.join(missing)}")
    return f"{_said(program or '', 'version')}, amqp091-go, fluent-logger-golang"


def _start_go(rig: Rig, port: int, folder: Path) -> subprocess.Popen[bytes]:
    program = rig.folder / "bridge"
    if not program.exists():
        # Debian's libraries are no modules.
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_SOURCES)}
        build = ["go", "build", "-o", str(program), str(HERE / "bridge.go")]
        subprocess.run(build, check=True, env=environment)
    return _bridge(rig, port, folder, program)


def _node_version(_rig: Rig) -> str:
    program = shutil.which("node")
    if program is None:
        raise NotHere("needs node on PATH (Debian: nodejs, npm)")
    if not (HERE / "node_modules/amqplib").is_dir():
        raise NotHere("needs the npm packages of tests/peers: make npm")
    locked = json.loads((HERE / "package.json").read_text())["dependencies"]
    return ", ".join([f"Node {_said(program, '--version')}", *(f"{name} {what}" for name, what in locked.items())])


def _start_node(rig: Rig, port: int, folder: Path) -> subprocess.Popen[bytes]:
    return _bridge(rig, port, folder, "node", HERE / "bridge.js")


def _python_version(_rig: Rig) -> str:
    try:
        libraries = [f"{name} {version(name)}" for name in ("aio-pika", "fluent-logger")]
    except PackageNotFoundError as exc:
        raise NotHere(f"needs the Python package {exc}: pip install '.[peers]'") from exc
    return ", ".join([f"Python {platform.python_version()}", *libraries])


def _start_python(rig: Rig, port: int, folder: Path) -> subprocess.Popen[bytes]:
    return _bridge(rig, port, folder, sys.executable, HERE / "bridge.py")


# --- Fluentd and Fluent Bit ----------------------------------------------------------------------

_FORWARD = """\
<match **>
  @type forward
  require_ack_response true
  ack_response_timeout 30
  <server>
    host 127.0.0.1
    port PORT
  </server>
  <buffer>
    @type file
    path FOLDER/buffer
    flush_mode interval
    flush_interval 1
    flush_thread_count 2
    overflow_action block
    retry_forever true
    retry_max_interval 5
  </buffer>
</match>
"""


def _fluentd_configuration(rig: Rig, folder: Path, port: int, output: str) -> Path:
    # Its input plugin declares the queue, which the user of a stream may not.
    path = folder / "fluentd.conf"
    path.write_text(f"""\
<source>
  @type rabbitmq
  tag {TAG}
  host localhost
  port {rig.broker.tls_port}
  user {ADMIN}
  pass {ADMIN_PASSWORD}
  vhost /
  tls true
  tls_ca_certificates {rig.certificates.ca_file}
  queue {rig.streams[0].queue}
  durable true
  queue_type classic
  manual_ack true
  prefetch_count {PREFETCH}
</source>
<label @FLUENT_LOG>
  <match **>
    @type null
  </match>
</label>
{output.replace("PORT", str(port)).replace("FOLDER", str(folder))}""")
    return path


def _fluentd_version(rig: Rig) -> str:
    program = shutil.which("fluentd")
    if program is None:
        raise NotHere("needs fluentd on PATH")
    configuration = _fluentd_configuration(rig, rig.folder, 24224, "")
    tried = subprocess.run([program, "--dry-run", "-c", configuration], capture_output=True, check=False)
    if tried.returncode:
        raise NotHere("needs the gem fluent-plugin-rabbitmq in Fluentd")
    return f"Fluentd {_said(program, '--version')}, fluent-plugin-rabbitmq"


def _start_fluentd(rig: Rig, port: int, folder: Path, *, output: str) -> subprocess.Popen[bytes]:
    return _start(folder, "fluentd", "-c", _fluentd_configuration(rig, folder, port, output))


def _fluent_bit_version(_rig: Rig) -> str:
    program = shutil.which("fluent-bit")
    if program is None:
        raise NotHere("needs fluent-bit on PATH")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    if not re.search(r"^\s*amqp\b", told, re.MULTILINE):
        raise NotHere(f"Fluent Bit {_said(program, '--version')} has no input plugin amqp")
    return f"Fluent Bit {_said(program, '--version')}"


def _start_fluent_bit(rig: Rig, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """As the input plugin is documented; no release has it yet, so this was never run."""
    stream = rig.streams[0]
    configuration = folder / "fluent-bit.yaml"
    configuration.write_text(f"""\
service:
  flush: 1
  storage.path: {folder}/storage
parsers:
  - name: json
    format: json
pipeline:
  inputs:
    - name: amqp
      uri: {stream.tls_url.replace("://", f"://{stream.username}:{stream.password}@")}
      queue: {stream.queue}
      parser: json
      tag: {TAG}
      tls.ca_file: {rig.certificates.ca_file}
      storage.type: filesystem
  outputs:
    - name: forward
      match: "*"
      host: 127.0.0.1
      port: {port}
      require_ack_response: true
      retry_limit: no_limits
""")
    return _start(folder, "fluent-bit", "-c", configuration)


def _said(program: str, argument: str) -> str:
    """The version that a program tells."""
    answer = subprocess.run([program, argument], capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", answer)
    return found.group() if found else "unknown"
