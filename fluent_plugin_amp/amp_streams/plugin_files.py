"""What `amp-streams apply` writes for the plugin: ``credentials/LABEL.yml`` and ``streams.d/TENANT.yml`` in a folder.

While a stream is rotated, its twin's credentials are in ``credentials/LABEL.rotating.yml``; what was replaced is kept
as ``….old``, ``….old2`` and so on.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from fluent_plugin_amp.admin.tenants import Tenant, WantedStream
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.credentials import flow, read, reserve
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable
from fluent_plugin_amp.files import read_text


class PluginFiles:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._credentials = folder / "credentials"
        self._streams = folder / "streams.d"
        self._found: dict[tuple[int, str], Path] | None = None

    def prepare(self) -> None:
        """Make the folders; the one with the secrets for its owner only.  Raises CredentialsFileUnusable."""
        try:
            self._streams.mkdir(parents=True, exist_ok=True)
            self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise CredentialsFileUnusable(f"{exc.filename} cannot be made: {exc.strerror}") from exc

    def credentials(self, label: str) -> Path:
        """The credentials file of a stream."""
        return self._credentials / f"{label}.yml"

    def rotating(self, label: str) -> Path:
        """The credentials file of a stream's twin, until it takes the stream's place."""
        return self._credentials / f"{label}.rotating.yml"

    def ca_file(self, tenant: Tenant, wanted: WantedStream) -> str | None:
        """The CA file for the broker's certificate, the same that the plugin will use: see `write_streams`."""
        tls = wanted.config.get("tls")
        own = tls.get("ca_file") if isinstance(tls, dict) else None
        return str(self._streams / own) if isinstance(own, str) else tenant.cloud.ca_file

    def belongs_to(self, label: str, stream: EventStream) -> bool:
        """Whether the credentials of exactly this stream are there."""
        key = _key_in(self.credentials(label))
        if stream.amqp is None:  # the cloud does not tell its user
            return key is not None and key[0] == stream.id
        return key == (stream.id, stream.amqp.user_name)

    def adopt(self, label: str, stream: EventStream, *, rotating: bool = False) -> Path | None:
        """Let the stream have the file in ``credentials/`` that holds its credentials, under whatever name.

        As after a rotation that was finished by hand, or interrupted.  A file that is in the way is kept.  Returns
        the file that was found, None where there is none.
        """
        path = self.find(stream)
        to = self.rotating(label) if rotating else self.credentials(label)
        if path is not None and path != to:
            self.set_aside(to)
            self._move(path, to)
        return path

    def find(self, stream: EventStream) -> Path | None:
        """The file in ``credentials/`` that holds a stream's credentials.  They are read once; moves are followed.

        A file that was set aside counts too, after the others: a run may have been killed before its next move.
        """
        if self._found is None:
            paths = [path for end in ("yml.old*", "yml", "json") for path in self._credentials.glob(f"*.{end}")]
            paths.sort(key=lambda path: (path.suffix in (".yml", ".json"), path))  # the last one with a key is found
            self._found = {key: path for path in paths if (key := _key_in(path)) is not None}
        return self._found.get((stream.id, stream.amqp.user_name)) if stream.amqp is not None else None

    def take_place(self, label: str) -> None:
        """Let the twin's credentials take the place of the stream's, which are no longer valid."""
        self._move(self.rotating(label), self.credentials(label))

    def set_aside(self, path: Path) -> None:
        """Keep a file that is about to be replaced, as ``….old``, ``….old2`` …: nobody knows what it still opens."""
        if os.path.lexists(path):
            names = (f"{path.name}.old{number if number > 1 else ''}" for number in itertools.count(1))
            self._move(path, next(to for to in map(path.with_name, names) if not os.path.lexists(to)))

    def _move(self, path: Path, to: Path) -> None:
        try:
            os.replace(path, to)
        except OSError as exc:
            raise CredentialsFileUnusable(f"{path} cannot be renamed to {to.name}: {exc.strerror}") from exc
        known = self._found or {}
        for key, found in known.items():
            if found == path:
                known[key] = to

    def forget(self, label: str, stream: EventStream) -> None:
        """Remove the credentials of a stream that was deleted."""
        if self.belongs_to(label, stream):
            with contextlib.suppress(OSError):
                self.credentials(label).unlink()

    def write_streams(self, tenant: Tenant) -> None:
        """Write what ``include: streams.d/*.yml`` takes: the tenant's streams that have credentials.

        The file is replaced atomically, and only when it changes.  It holds no secret.
        """
        entries: list[str] = []
        for stream in tenant.streams:
            if self.credentials(stream.label).exists():
                ca_file = tenant.cloud.ca_file
                entry = {
                    "name": stream.label,
                    "credentials_file": f"../credentials/{stream.label}.yml",
                    **({"tls": {"ca_file": ca_file}} if ca_file else {}),
                    **stream.config,
                }
                entries.append("- " + flow(entry))
        path = self._streams / f"{tenant.label}.yml"
        text = "\n".join(["# Made by `amp-streams apply`; it will be overwritten.", *entries]) + "\n"
        with contextlib.suppress(OSError):
            if read_text(path) == text:
                return
        try:
            if not entries:
                path.unlink(missing_ok=True)
                return
            with reserve(path, replace=True) as file:
                file.commit(text)
        except OSError as exc:
            raise CredentialsFileUnusable(f"{path} cannot be written: {exc.strerror}") from exc


def _key_in(path: Path) -> tuple[int, str] | None:
    """Id and user of the stream whose credentials a file holds."""
    try:
        saved = read(path)
    except CredentialsFileUnusable:
        return None
    return saved.id, saved.username
