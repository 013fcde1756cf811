"""``${NAME}`` and ``${NAME:-default}`` in the texts of a configuration.  Pure: the environment is an argument.

Variables are replaced after the YAML was read, so a value can hold any character and never changes the structure
of the file.  ``$${`` stands for ``${``; any other ``$`` stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_USE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with its variables replaced; as in a shell, a default also stands in for an empty variable.

    ValueError names every variable that is not set, or one that is not UTF-8, and never repeats any of the text.
    """
    missing: list[str] = []
    garbled: list[str] = []

    def value(use: re.Match[str]) -> str:
        if use[0] == "$${":
            return "${"
        inside = _INSIDE.fullmatch(use[1] or "")
        if inside is None or "${" in (inside[2] or ""):
            raise ValueError(
                "`${` begins a variable, ${NAME} or ${NAME:-default}; for the characters themselves write `$${`"
            )
        name, default = inside.groups()
        if default is None and name not in environ:
            missing.append(name)
        found = environ.get(name) or default or ""
        if not is_unicode(found):  # the environment holds bytes
            garbled.append(name)
        return found

    expanded = _USE.sub(value, text)
    if missing:
        plural = len(missing) > 1
        raise ValueError(
            f"the environment variable{'s' * plural} {' and '.join(missing)} {'are' if plural else 'is'} not set; "
            "a default is written ${NAME:-default}"
        )
    if garbled:
        raise ValueError(f"the environment variable {garbled[0]} is not UTF-8")
    return expanded


def is_unicode(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_variable(text: str) -> bool:
    """Whether some of ``text`` comes from the environment."""
    return any(use[1] is not None for use in _USE.finditer(text))
