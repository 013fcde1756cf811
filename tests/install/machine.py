"""The clean Debian on which the plugin is installed, reached through a command that takes a shell command."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

USER = "amp-try"
"""Somebody without privileges."""
DEADLINE_S = 600.0
_FROM_STDIN = 'bash -ec "$(cat)"'
_AS_ROOT = "export HOME=~root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
"""What root's own shell has."""
_BEFORE = "mkdir -p ~/amp-try; cd ~/amp-try; export DEBIAN_FRONTEND=noninteractive\n"
_NO_INDEX = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/wheelhouse\n"


class Failed(Exception):
    """A script did not end well; what it printed."""


@dataclass(frozen=True)
class Machine:
    """Scripts run in the folder of their user, as root unless said otherwise."""

    command: str
    """Such as ``docker exec -i clean sh -c``; a shell command is put behind it."""
    has_wheelhouse: bool = False
    """pip finds what it needs in the folder ``wheelhouse`` only."""

    def run(self, script: str, *, root: bool = True) -> str:
        """What a script prints on either output.  Raises Failed."""
        shell = _FROM_STDIN if root else f"runuser --login {USER} --command {shlex.quote(_FROM_STDIN)}"
        before = (_AS_ROOT if root else "") + _BEFORE + (_NO_INDEX if self.has_wheelhouse else "")
        return self._call(shell, f"{before}{script}".encode())

    def answers(self, script: str) -> bool:
        """Whether it ends well."""
        try:
            self.run(script)
        except Failed:
            return False
        return True

    def put(self, files: Iterable[tuple[str, Path]]) -> None:
        """Files, by their names in the folders of both users."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, path in files:
                archive.add(path, name)
        for user in ("root", USER):
            folder = f"~{user}/amp-try"
            script = f"mkdir -p {folder} && tar -x --no-same-owner -C {folder} && chown -R {user}: {folder}"
            self._call(script, packed.getvalue())

    def _call(self, shell: str, stdin: bytes) -> str:
        done = subprocess.run(
            [*shlex.split(self.command), shell],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise Failed(f"exit code {done.returncode}\n{output[-4000:]}")
        return output
