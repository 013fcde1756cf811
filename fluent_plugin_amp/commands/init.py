"""`fluent-plugin-amp init`: the files for one way of running the plugin, made from those of conf/ and examples/.

Each file is one that the package ships, with the places filled in that differ from user to user.  All of them are
written, or none: a file that is there already may be somebody's work.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click

from fluent_plugin_amp.cisco.credentials import StreamCredentials, flow, read, render
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable
from fluent_plugin_amp.cisco.names import slug
from fluent_plugin_amp.commands.errors import FilesNotWritten
from fluent_plugin_amp.errors import UsageError

PROGRAM = "fluent-plugin-amp"
SCHEMA = "fluent-plugin-amp.schema.json"
"""The first line of a configuration names it, beside itself, for editors."""
SECRETS = "*.secret.yml"
"""The files with a password in them, for their owner only; the others name the file that has it."""

BEHIND_FLUENTD = 24225
"""Where Fluentd's files send to: a Fluent Bit on the same machine, which speaks to Devo."""

KUSTOMIZED = (
    "kustomization.yml",
    "config.yml",
    "fluent-bit.yaml",
    "statefulset.yml",
    "service.yml",
    "disruption-budget.yml",
    "network-policy.yml",
)
"""The files of examples/kubernetes/base."""

_HOST = re.compile(r"[A-Za-z0-9._-]+")
_PATH = re.compile(r"[\w./+-]+")
"""What means itself in YAML, in Fluentd's and systemd's files, and in a shell."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of a server."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int) -> Address:
        """``HOST`` or ``HOST:PORT``; UsageError when it is neither."""
        host, colon, port = text.partition(":")
        if not _HOST.fullmatch(host) or (colon and not (port.isdecimal() and 0 < int(port) < 1 << 16)):
            raise UsageError(
                f"{text!r} is no address", remedy="Give HOST or HOST:PORT, such as collector-eu.devo.io:443."
            )
        return cls(host, int(port) if colon else default_port)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the user said, and where the files go."""

    folder: Path
    credentials_file: Path
    credentials: StreamCredentials
    server: Address
    """The Forward server that the plugin sends to."""
    devo: Address | None = None
    """None: the way has no file that names it."""

    @property
    def config(self) -> Path:
        """The plugin's configuration, where the plugin runs on this machine."""
        return self.folder / "config.yml"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running the plugin."""

    files: Callable[[Answers], Mapping[str, str]]
    """The text of each file, by its name."""
    next: tuple[str, str]
    """The commands to go on with, in which ``{folder}`` and ``{config}`` stand for paths."""
    takes_server: bool = True
    """Whether the address of the Forward server is the user's to choose."""
    takes_devo: bool = True


def make(way: Way, answers: Answers) -> list[Path]:
    """Write the files of a way, and return where.  Raises UsageError or FilesNotWritten; nothing is written then."""
    for path in (answers.folder, answers.credentials_file):
        if not _PATH.fullmatch(str(path)):
            raise UsageError(
                f"{str(path)!r} holds a character with a meaning of its own in the files to be written",
                remedy="Choose a path of letters, digits and . _ - + only.",
            )
    texts = {answers.folder / name: text for name, text in way.files(answers).items()}
    if f"$schema={SCHEMA}" in texts.get(answers.config, ""):  # an editor wants it beside the configuration
        texts[answers.folder / SCHEMA] = shipped(f"conf/{SCHEMA}")
    if there := [str(path) for path in texts if os.path.lexists(path)]:
        raise FilesNotWritten(f"{', '.join(there)}: exists already")
    written: list[Path] = []
    try:
        answers.folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            mode = 0o600 if path.match(SECRETS) else 0o644
            with open(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w", encoding="utf-8"
            ) as file:
                written.append(path)
                file.write(text)
    except OSError as exc:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise FilesNotWritten(f"{exc.filename or answers.folder} cannot be written: {exc.strerror}") from exc
    return written


def commands(way: Way, answers: Answers) -> list[str]:
    """What to run next, with its paths."""
    return [command.format(folder=answers.folder, config=answers.config) for command in way.next]


# --- the questions -----------------------------------------------------------------------------------------------


def ask(
    folder: Path, way_name: str | None, credentials: Path | None, devo: str | None, host: str | None, port: int | None
) -> tuple[Way, Answers]:
    """What the command line says, and for what it leaves out the user on the terminal.

    Raises UsageError for what is missing, wrong, or not for this way; CredentialsFileUnusable.
    """
    name = way_name or _question("--for", f"One of {', '.join(WAYS)}")
    if name not in WAYS:
        raise UsageError(f"--for {name!r} is no way to run the plugin", remedy=f"Give one of: {', '.join(WAYS)}.")
    way = WAYS[name]
    for option, value, takes in (
        ("devo", devo, way.takes_devo),
        ("host", host, way.takes_server),
        ("port", port, way.takes_server),
    ):
        if value is not None and not takes:
            raise UsageError(f"no file of --for {name} takes --{option}", remedy=f"Leave --{option} out.")
    file = Path(
        os.path.abspath(credentials or _question("--credentials", "File that `amp-streams create --save` wrote"))
    )
    try:
        saved = read(file)
    except CredentialsFileUnusable as exc:
        remedy = (
            "Give --credentials the file that `amp-streams create --save FILE` wrote, in the format yaml or json."
        )
        raise CredentialsFileUnusable(str(exc), remedy=remedy) from exc
    if host is not None and not _HOST.fullmatch(host):
        raise UsageError(f"--host {host!r} is no host", remedy="Give a name or an IPv4 address.")
    server = Address(host or "127.0.0.1", port or 24224)
    receiver = (
        Address.parse(devo or _question("--devo", "Devo's address, HOST or HOST:PORT"), 443)
        if way.takes_devo
        else None
    )
    return way, Answers(Path(os.path.abspath(folder)), file, saved, server, receiver)


def _question(option: str, text: str) -> str:
    """The user's answer.  Raises UsageError where nobody can be asked."""
    missing = UsageError(f"{option} is missing", remedy=f"Give {option}; without a terminal nobody can be asked.")
    if not sys.stdin.isatty():
        raise missing
    try:
        answer: str = click.prompt(text, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            raise missing from None
        raise
    return answer


# --- the files ---------------------------------------------------------------------------------------------------


def shipped(name: str) -> str:
    """The text of a file of conf/ or examples/."""
    return resources.files("fluent_plugin_amp").joinpath(*name.split("/")).read_text("utf-8")


def _fill(text: str, *places: tuple[str, str]) -> str:
    """``text`` with each old piece replaced by its new one; that an old piece is missing is a bug of ours."""
    for old, new in places:
        if old not in text:
            raise LookupError(f"no {old!r} in the file that is shipped")
        text = text.replace(old, new)
    return text


def _program() -> str:
    """The program by its full path: neither systemd nor Fluentd looks where the user's shell does."""
    installed = Path(sys.executable).with_name(PROGRAM)
    return str(installed) if installed.exists() else PROGRAM


def _config(credentials_file: str, server: Address, *more: tuple[str, str]) -> str:
    text = shipped("conf/devo.yml")
    head, _, rest = text.partition("  - name: emea\n")
    return _fill(
        f"{head}  - credentials_file: {flow(credentials_file)}\n{rest[rest.index('    tag:') :]}",
        ("{host: 127.0.0.1, port: 24224}", f"{{host: {flow(server.host)}, port: {server.port}}}"),
        *more,
    )


def _fluent_bit_conf(answers: Answers, listen: Address) -> str:
    assert answers.devo is not None
    return _fill(
        shipped("conf/fluent-bit.yaml"),
        ("listen: 127.0.0.1", f"listen: {flow(listen.host)}"),
        ("port: 24224", f"port: {listen.port}"),
        ("host: collector-us.devo.io", f"host: {flow(answers.devo.host)}"),
        ("port: 443", f"port: {answers.devo.port}"),
    )


def _fluentd_source(text: str, server: Address) -> str:
    return _fill(text, ("bind 127.0.0.1\n  port 24224", f"bind {server.host}\n  port {server.port}"))


def _fluent_bit(answers: Answers) -> Mapping[str, str]:
    return {
        "config.yml": _config(str(answers.credentials_file), answers.server),
        "fluent-bit.yaml": _fluent_bit_conf(answers, answers.server),
    }


def _fluentd(answers: Answers) -> Mapping[str, str]:
    return {
        "config.yml": _config(str(answers.credentials_file), answers.server),
        "fluentd.conf": _fluentd_source(shipped("conf/fluentd.conf"), answers.server),
        "fluent-bit.yaml": _fluent_bit_conf(answers, Address("127.0.0.1", BEHIND_FLUENTD)),
    }


def _supervised(answers: Answers) -> Mapping[str, str]:
    # Fluentd takes no events while it waits for the plugin to end: no use in trying for long.
    brief = ("forward:\n", "forward:\n  shutdown_timeout: 5s\n")
    run = "run --supervised -c"
    return {
        "config.yml": _config(str(answers.credentials_file), answers.server, brief),
        "fluentd-supervised.conf": _fill(
            _fluentd_source(shipped("conf/fluentd-supervised.conf"), answers.server),
            (f"command {PROGRAM} {run} /etc/{PROGRAM}/config.yml", f"command {_program()} {run} {answers.config}"),
        ),
        "fluent-bit.yaml": _fluent_bit_conf(answers, Address("127.0.0.1", BEHIND_FLUENTD)),
    }


def _systemd(answers: Answers) -> Mapping[str, str]:
    folder, name = answers.credentials_file.parent, answers.credentials_file.name
    # systemd hands the file over; `check` in root's shell reads it where it is.
    credentials_file = f"${{CREDENTIALS_DIRECTORY:-{folder}}}/{name}"
    unit = _fill(
        shipped("conf/fluent-plugin-amp.service"),
        (f"/opt/{PROGRAM}/bin/{PROGRAM} run -c /etc/{PROGRAM}/config.yml", f"{_program()} run -c {answers.config}"),
        (f"#LoadCredential=emea.password:/etc/{PROGRAM}/emea.password", f"LoadCredential={name}:{folder / name}"),
        (
            f"password_file: ${{CREDENTIALS_DIRECTORY:-/etc/{PROGRAM}}}/emea.password",
            f"credentials_file: {credentials_file}",
        ),
    )
    return {"config.yml": _config(credentials_file, answers.server), "fluent-plugin-amp.service": unit}


def _kubernetes(answers: Answers) -> Mapping[str, str]:
    assert answers.devo is not None
    base = {name: shipped(f"examples/kubernetes/base/{name}") for name in KUSTOMIZED}
    places = {
        "kustomization.yml": [("  - statefulset.yml\n", "  - stream.secret.yml\n  - statefulset.yml\n")],
        "statefulset.yml": [
            ("secretName: amp-stream-siem", f"secretName: amp-stream-{slug(answers.credentials.name)}")
        ],
        "fluent-bit.yaml": [
            ("host: collector-us.devo.io", f"host: {flow(answers.devo.host)}"),
            ("port: 443", f"port: {answers.devo.port}"),
        ],
        "network-policy.yml": [("port: 443}  # Devo", f"port: {answers.devo.port}}}  # Devo")],
    }
    return {
        **{name: _fill(text, *places.get(name, ())) for name, text in base.items()},
        "stream.secret.yml": render(answers.credentials, "kubernetes"),
    }


def _compose(answers: Answers) -> Mapping[str, str]:
    mounted = "/run/secrets/amp-stream/stream.yml"
    # The port is published to this machine only, and from outside of the container.
    status = ("state:\n", "observe:\n  listen: 0.0.0.0:24280\n\nstate:\n")
    return {
        "config.yml": _config(mounted, Address("fluent-bit", 24224), status),
        "fluent-bit.yaml": _fluent_bit_conf(answers, Address("0.0.0.0", 24224)),
        "compose.yml": _fill(
            shipped("examples/compose/compose.yml"),
            (f"./stream.yml:{mounted}", f"{answers.credentials_file}:{mounted}"),
        ),
    }


WAYS: Mapping[str, Way] = {
    "fluentd": Way(
        _fluentd, ("fluentd -c {folder}/fluentd.conf", "fluent-plugin-amp check -c {config} --end-to-end")
    ),
    "fluent-bit": Way(
        _fluent_bit, ("fluent-bit -c {folder}/fluent-bit.yaml", "fluent-plugin-amp check -c {config} --end-to-end")
    ),
    "supervised": Way(
        _supervised, ("fluent-plugin-amp check -c {config}", "fluentd -c {folder}/fluentd-supervised.conf")
    ),
    "systemd": Way(
        _systemd,
        (
            "sudo cp {folder}/fluent-plugin-amp.service /etc/systemd/system/",
            "sudo systemctl daemon-reload && sudo systemctl enable --now fluent-plugin-amp",
        ),
        takes_devo=False,
    ),
    "kubernetes": Way(
        _kubernetes,
        (
            "kubectl create secret generic amp-devo "
            "--from-file=chain.crt --from-file=mydomain.crt --from-file=mydomain.key",
            "kubectl apply -k {folder}",
        ),
        takes_server=False,
    ),
    "compose": Way(
        _compose,
        (
            "docker compose -f {folder}/compose.yml run --rm plugin check -c /etc/fluent-plugin-amp/config.yml",
            "docker compose -f {folder}/compose.yml up --detach",
        ),
        takes_server=False,
    ),
}
