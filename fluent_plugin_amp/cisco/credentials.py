"""The credentials of an event stream as files: four formats, and a save that cannot lose the password.

The cloud shows a password once, so the file is made sure of first::

    with reserve(path) as file:          # proves that path can be written; raises before anything is created
        stream = await streams.create(…)
        file.commit(render(…))           # atomic: the file is there whole, or not at all

``render(…, "yaml")`` and ``"json"`` are what ``credentials_file:`` of the configuration takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import yaml

from fluent_plugin_amp.cisco.address import address_of
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.created import as_credentials, is_answer
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood, CredentialsFileUnusable
from fluent_plugin_amp.cisco.names import slug
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.files import MAX_SECRET_BYTES, read_bytes

if TYPE_CHECKING:
    from typing_extensions import Self

_PLACEHOLDER_BYTES = 4096
"""More than any credentials file has: the space is taken before it is needed."""


@dataclass(frozen=True, slots=True)
class StreamCredentials:
    """Everything that is needed to consume one event stream."""

    name: str
    id: int
    cloud: str | dict[str, str]
    """As ``cloud:`` of the configuration takes it."""
    url: str
    username: str
    password: str = field(repr=False)
    queue: str = ""

    @classmethod
    def of(cls, stream: EventStream, cloud: Cloud) -> StreamCredentials:
        """The credentials of a stream that was just created."""
        where = address_of(stream, cloud)
        password = (stream.amqp and stream.amqp.password) or ""
        return cls(stream.name, stream.id, cloud.as_setting(), where.url, where.username, password, where.queue)

    def as_dict(self) -> dict[str, Any]:
        """The keys of a credentials file, in its order."""
        return {
            "name": self.name,
            "id": self.id,
            "cloud": self.cloud,
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "queue": self.queue,
        }


# --- formats -------------------------------------------------------------------------------------


def _yaml(credentials: StreamCredentials) -> str:
    lines = [
        "# A Cisco AMP for Endpoints event stream; `credentials_file:` of fluent-plugin-amp takes this file.",
        "# Cisco does not show the password again: keep it secret, and keep it.",
        *(f"{key}: {flow(value)}" for key, value in credentials.as_dict().items()),
    ]
    return "\n".join(lines) + "\n"


def _json(credentials: StreamCredentials) -> str:
    return flow(credentials.as_dict(), indent=2) + "\n"


def flow(value: object, indent: int | None = None) -> str:
    """``value`` as JSON that means the same when it is read as YAML, whatever its characters."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_NOT_IN_YAML = re.compile("[^\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML takes only escaped, or folds."""


def _env(credentials: StreamCredentials) -> str:
    """Lines for a shell, systemd's EnvironmentFile and Docker's --env-file: values need no quotes as they are."""
    values = {
        "AMP_STREAM_URL": credentials.url,
        "AMP_STREAM_USERNAME": credentials.username,
        "AMP_STREAM_PASSWORD": credentials.password,
        "AMP_STREAM_QUEUE": credentials.queue,
    }
    name = "".join(character if character.isprintable() else " " for character in credentials.name)
    head = f"# {name} ({credentials.id})\n"
    return head + "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _kubernetes(credentials: StreamCredentials) -> str:
    """A Secret: ``stream.yml`` to mount as a credentials file, and its parts for environment variables."""
    parts = ("url", "username", "password", "queue")
    lines = [
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f"  name: amp-stream-{slug(credentials.name)}",
        "type: Opaque",
        "stringData:",
        "  stream.yml: |",
        *(f"    {line}" for line in _yaml(credentials).splitlines()),
        *(f"  {key}: {flow(value)}" for key, value in credentials.as_dict().items() if key in parts),
    ]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[StreamCredentials], str]] = {
    "yaml": _yaml,
    "json": _json,
    "env": _env,
    "kubernetes": _kubernetes,
}


def render(credentials: StreamCredentials, format_: str) -> str:
    """The text of a credentials file; ``format_`` is a key of `FORMATS`."""
    return FORMATS[format_](credentials)


_NOT_YAML = (yaml.YAMLError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError)
"""Raised over a text that is no YAML, and over what is no value of its tag: a date that is none, ``!!bool maybe``."""


def read(path: Path) -> StreamCredentials:
    """A file that `render` made in the format yaml or json, or Cisco's own answer to the stream's creation.

    Raises CredentialsFileUnusable, whose message quotes nothing of the file.
    """
    try:
        found = yaml.safe_load(read_bytes(path, MAX_SECRET_BYTES).decode())
    except OSError as exc:
        raise CredentialsFileUnusable(f"{path}: {exc.strerror}") from exc
    except _NOT_YAML:
        raise CredentialsFileUnusable(f"{path}: neither YAML nor JSON", remedy=_REMEDY) from None
    if isinstance(found, dict) and is_answer(found):
        try:
            return StreamCredentials(**{"cloud": {}, **as_credentials(found)})
        except CloudAnswerNotUnderstood as exc:
            raise CredentialsFileUnusable(f"{path}: Cisco's answer to a creation: {exc}", remedy=_REMEDY) from exc
    keys = ("name", "id", "cloud", "url", "username", "password", "queue")
    if not isinstance(found, dict) or not all(key in found for key in keys):
        raise CredentialsFileUnusable(f"{path}: not a credentials file: {', '.join(keys)} are needed", remedy=_REMEDY)
    kinds: dict[str, type | tuple[type, ...]] = {"id": int, "cloud": (str, dict)}
    for key in keys:
        if not isinstance(found[key], kinds.get(key, str)):
            raise CredentialsFileUnusable(f"{path}: not a credentials file: {key} has the wrong type", remedy=_REMEDY)
    return StreamCredentials(**{key: found[key] for key in keys})


_REMEDY = (
    "Give a file that `amp-streams create --save FILE` wrote in the format yaml or json, "
    "or Cisco's own answer to the stream's creation."
)


# --- saving --------------------------------------------------------------------------------------


def reserve(path: Path, *, replace: bool = False) -> Reservation:
    """Make sure that ``path`` can be written, before the password exists that is to go there.

    A hidden file of its own, mode 0600 and as large as will be needed, is made in the same folder; so a missing
    folder, missing permission and a full disk are noticed now.  Unless ``replace``, an existing file is refused:
    it may hold another stream's password.  Raises CredentialsFileUnusable.
    """
    if not replace and os.path.lexists(path):
        raise CredentialsFileUnusable(f"{path} exists already", remedy="Name a new file, or move the old one away.")
    if os.path.isdir(path):
        raise CredentialsFileUnusable(f"{path} is a folder")
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise CredentialsFileUnusable(f"{path} cannot be written: {exc.strerror}") from exc
    reservation = Reservation(path, hidden, descriptor, replace=replace)
    try:
        _write_all(descriptor, b"#" * _PLACEHOLDER_BYTES)
        os.fsync(descriptor)
    except OSError as exc:
        reservation.close()
        raise CredentialsFileUnusable(f"{path} cannot be written: {exc.strerror}") from exc
    return reservation


class Reservation:
    """Space for a file that is about to be written; without `commit` nothing remains of it."""

    def __init__(self, path: Path, hidden: Path, descriptor: int, *, replace: bool) -> None:
        self.path = path
        self._hidden = hidden
        self._descriptor = descriptor
        self._replace = replace

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def commit(self, text: str) -> None:
        """Write ``text``, mode 0600, to the disk.  Raises OSError; then there is no file."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        content = text.encode("utf-8")
        _write_all(self._descriptor, content)
        os.ftruncate(self._descriptor, len(content))
        os.fsync(self._descriptor)
        if self._replace:
            os.replace(self._hidden, self.path)
        else:
            self._appear()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _appear(self) -> None:
        """Give the file its name.  Raises FileExistsError when another file has it by now."""
        try:
            os.link(self._hidden, self.path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.rename(self._hidden, self.path)
        else:
            self._hidden.unlink()

    def close(self) -> None:
        """Remove what is left.  May be called again, and after `commit`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with contextlib.suppress(OSError):
                self._hidden.unlink()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
