"""Reads the files of a configuration, and collects their mistakes.

The shell around the models: only this module and ``gather`` touch files.  What cannot be read is noted once, with its
place, and replaced by BROKEN, so that nothing more is said about it.

Relative names begin at the folder of the file that holds them.  No message holds a secret, nor the name given as
``password_file``: people put the password itself there.
"""

from __future__ import annotations

import contextlib
import errno
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList, parse
from fluent_plugin_amp.config.keys import secret_names
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.problems import Mark, Problem, join
from fluent_plugin_amp.config.url import take_credentials
from fluent_plugin_amp.config.variables import expand, has_variable
from fluent_plugin_amp.files import MAX_FILE_BYTES, MAX_SECRET_BYTES, read_bytes
from fluent_plugin_amp.files import read_text as read_file

MAX_TOTAL_BYTES = 32 << 20
"""Of all the files of one configuration together."""


def read_text(file: Path, limit_bytes: int = MAX_FILE_BYTES) -> str:
    """A file's text; ValueError with the reason when there is none."""
    try:
        return read_file(file, limit_bytes)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError("is not UTF-8" if error.errno == errno.EILSEQ else f"cannot be read: {reason}") from None


class Reading:
    """One run of `load`: the mistakes and warnings found so far."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.unset: list[Problem] = []
        """Those of the problems that a variable of the environment has."""
        self.warnings: list[str] = []
        self.mistakes_in: Counter[str] = Counter()
        """How many there are in each file that holds streams, as far as `blaming` knows."""
        self._environ = environ
        self._left_bytes = MAX_TOTAL_BYTES
        self._secret_names = secret_names(Config)

    def problem(self, mapping: MarkedDict, key: str, text: str) -> None:
        """Note a mistake in an entry."""
        self.problems.append(Problem(mapping.marks[key], join(mapping.path, key), text))

    def broken(self, mapping: MarkedDict, key: str, text: str) -> None:
        """Note a mistake in an entry, and put BROKEN in its place."""
        self.problem(mapping, key, text)
        mapping[key] = BROKEN

    @contextlib.contextmanager
    def blaming(self, file: str) -> Iterator[None]:
        """Count the mistakes of this block for ``file``, even those in a file that it names."""
        before = len(self.problems)
        yield
        if new := len(self.problems) - before:
            self.mistakes_in[file] += new

    # --- documents ------------------------------------------------------------------------------------------

    def document(self, file: Path, text: str, *, variables: bool = True, as_is: Collection[str] = ()) -> Any:
        """The tree of a file's text with its variables replaced; None when it is empty, BROKEN when it is no YAML.

        ``as_is``: keys whose values keep their variables.
        """
        self._left_bytes -= len(text)
        if self._left_bytes < 0:
            total = f"the configuration's files hold more than {MAX_TOTAL_BYTES >> 20} MiB together"
            self.problems.append(Problem(Mark(str(file), 1), "", f"not read: {total}"))
            return BROKEN
        tree, problems = parse(text, str(file))
        self.problems += problems
        if self._holds_secret(tree, variables):
            self._warn_if_open(file)
        self._warn_of_cuts(tree, variables)
        if variables:
            self._expand(tree, as_is)
        return tree

    def _warn_if_open(self, file: Path) -> None:
        """Warn of a file with a secret that every user can read."""
        with contextlib.suppress(OSError):  # gone since it was read
            warning = f"{file} holds a secret and can be read by every user: chmod o= {file}"
            if file.stat().st_mode & stat.S_IROTH and warning not in self.warnings:
                self.warnings.append(warning)

    def _warn_of_cuts(self, tree: Any, variables: bool) -> None:
        """Warn of secrets whose end YAML may have taken for a comment."""
        if isinstance(tree, MarkedList):
            for item in tree:
                self._warn_of_cuts(item, variables)
        if not isinstance(tree, MarkedDict):
            return
        for key in sorted(tree.cut & self._secret_names):
            value = tree[key]
            if isinstance(value, str) and not (variables and has_variable(value)):
                place = join(tree.path, key)
                self.warnings.append(
                    f"{tree.marks[key]}: {place}: what follows ` #` is a comment and not part of the value; "
                    "if it should be, put the whole value in quotes"
                )
        for value in tree.values():
            self._warn_of_cuts(value, variables)

    def _holds_secret(self, tree: Any, variables: bool) -> bool:
        """Whether a secret stands in the text itself, not in a variable."""
        if isinstance(tree, MarkedList):
            return any(self._holds_secret(item, variables) for item in tree)
        if not isinstance(tree, MarkedDict):
            return False
        secrets = [tree[name] for name in self._secret_names & tree.keys()]
        urls = (tree[name] for name in ("url", "proxy") if isinstance(tree.get(name), str))
        secrets += [take_credentials(url)[2] for url in urls]
        inline = (isinstance(each, str) and each and not (variables and has_variable(each)) for each in secrets)
        return any(inline) or any(self._holds_secret(value, variables) for value in tree.values())

    def _expand(self, tree: Any, as_is: Collection[str]) -> None:
        """Replace the variables of a tree, in place."""
        if isinstance(tree, MarkedDict):
            for key in tree.keys() - as_is:
                tree[key] = self._expanded(tree[key], as_is, tree.marks[key], join(tree.path, key))
        elif isinstance(tree, MarkedList):
            for index, value in enumerate(tree):
                tree[index] = self._expanded(value, as_is, tree.marks[index], join(tree.path, index))

    def _expanded(self, value: Any, as_is: Collection[str], mark: Mark, path: str) -> Any:
        if not isinstance(value, str):
            self._expand(value, as_is)
            return value
        try:
            return expand(value, self._environ)
        except ValueError as error:
            self.unset.append(Problem(mark, path, str(error)))
            self.problems.append(self.unset[-1])
            return BROKEN

    # --- files that keys name -------------------------------------------------------------------------------

    def file(self, mapping: MarkedDict, key: str) -> Path | None:
        """The file that a key names, made absolute in its place; None when it names none."""
        name = mapping.get(key)
        if name is None or name is BROKEN:
            return None
        if not isinstance(name, str) or not name or "\0" in name:
            self.broken(mapping, key, "must be a file's name")
            return None
        file = Path(mapping.marks[key].file).parent.absolute() / name
        mapping[key] = str(file)
        return file

    def take_secret(self, mapping: MarkedDict, key: str) -> None:
        """Read ``<key>_file`` into ``key``; the file's last line end is no part of the secret."""
        from_file = f"{key}_file"
        if mapping.get(from_file) is None:
            return
        if mapping.get(key) is not None:
            self.broken(mapping, from_file, f"given together with `{key}`: use only one of them")
            return
        secret: Any = BROKEN
        file = self.file(mapping, from_file)
        if file is not None:
            try:
                secret = read_text(file, MAX_SECRET_BYTES).rstrip("\r\n")
                self._warn_if_open(file)
            except ValueError as error:
                folder = Path(mapping.marks[from_file].file).parent.absolute()
                self.problem(mapping, from_file, f"the file {error} (relative names begin at {folder})")
        if secret == "":
            self.problem(mapping, from_file, "the file is empty")
            secret = BROKEN
        mapping.put(key, secret, mapping.marks[from_file])

    def check_tls(self, tls: Any) -> None:
        """The files of a ``tls`` mapping, if it is one, are there and may be read."""
        for key in ("ca_file", "cert_file", "key_file") if isinstance(tls, MarkedDict) else ():
            self.check_file(tls, key)

    def check_file(self, mapping: MarkedDict, key: str) -> None:
        """The file that a key names, if it names one, is there and may be read."""
        file = self.file(mapping, key)
        if file is None:
            return
        try:
            read_bytes(file)
        except OSError as error:
            self.broken(mapping, key, f"{file} cannot be read: {error.strerror}")
