"""YAML text → a tree of dicts and lists that know the file, line and path of each entry.  Pure.

Stricter than YAML in what is a trap, and plain in what is not needed:

- a key given twice in one mapping is a mistake, not a matter of order; keys are always text (``no:`` is ``no``);
- plain scalars are numbers, truth values or null only where YAML 1.1 and 1.2 agree on it: ``no``, ``22:22``, ``010``
  and ``2024-01-01`` are texts, and whatever PyYAML wrote comes back as it was;
- no tags but the core ones;
- how deep it nests and how much it holds, aliases followed, is bounded: a few lines of aliases can stand for billions
  of values.

Messages never quote a scalar: it may be a secret, as in ``password: *hunter2``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from fluent_plugin_amp.config.problems import Mark, Problem, join
from fluent_plugin_amp.config.variables import is_unicode

MAX_DEPTH = 64
"""Levels; a static field may have 32 below those that lead to it.  Reading takes Python's stack for each."""

MAX_VALUES = 200_000
"""Of a document, mappings and lists included, an alias counting for all that it stands for: a stream has 20 or so."""

BROKEN: Final = object()
"""Stands for a value that is already reported as a mistake; nothing more is said about it."""


class MarkedDict(dict[str, Any]):
    """A mapping with the mark of each entry, its own, and its path within its file.

    ``cut``: the keys behind whose plain value, or in its place, a comment or an anchor stands.
    """

    __slots__ = ("cut", "mark", "marks", "path")

    def __init__(self, mark: Mark, path: str = "") -> None:
        super().__init__()
        self.mark = mark
        self.marks: dict[str, Mark] = {}
        self.path = path
        self.cut: set[str] = set()

    def put(self, key: str, value: Any, mark: Mark) -> None:
        """Set an entry, known to come from ``mark``."""
        self[key] = value
        self.marks[key] = mark

    def child(self, step: str | int) -> tuple[Mark, Any] | None:
        """An entry's mark and value; None when there is no such entry."""
        return (self.marks[step], self[step]) if isinstance(step, str) and step in self else None


class MarkedList(list[Any]):
    """A sequence with the mark of each item, its own, and its path within its file."""

    __slots__ = ("mark", "marks", "path")

    def __init__(self, mark: Mark, path: str = "") -> None:
        super().__init__()
        self.mark = mark
        self.marks: list[Mark] = []
        self.path = path

    def add(self, value: Any, mark: Mark) -> None:
        """Append an item, known to come from ``mark``."""
        self.append(value)
        self.marks.append(mark)

    def extend_from(self, other: MarkedList) -> None:
        """Append the items of another sequence, with their marks."""
        self.extend(other)
        self.marks.extend(other.marks)

    def child(self, step: str | int) -> tuple[Mark, Any] | None:
        """An item's mark and value; None when there is no such item."""
        return (self.marks[step], self[step]) if isinstance(step, int) and step < len(self) else None


def locate(tree: MarkedDict, loc: tuple[str | int, ...]) -> tuple[Mark, str]:
    """The mark of ``loc``, or of what comes nearest above it, and the path of ``loc`` within that file."""
    mark, path = tree.mark, tree.path
    node: Any = tree
    for step in loc:
        path = join(path, step)
        child = node.child(step) if isinstance(node, (MarkedDict, MarkedList)) else None
        mark, node = child or (mark, None)
        if isinstance(node, (MarkedDict, MarkedList)):
            path = node.path
    return mark, path


def parse(text: str, file: str) -> tuple[Any, list[Problem]]:
    """Read one YAML document (JSON is YAML too): the tree, or BROKEN, and every mistake found in it."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        line = where.line + 1 if where else 1
        words = ", ".join(_without_quotes(words) for words in (error.context, error.problem) if words)
        if error.context_mark and error.context_mark.line + 1 != line and "while" in (error.context or ""):
            words += f" (it began on line {error.context_mark.line + 1})"
        return BROKEN, [Problem(Mark(file, line), "", f"not YAML: {words}{_hint(words)}")]
    except _TooMuch as error:
        return BROKEN, [Problem(Mark(file, error.line), "", str(error))]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        return BROKEN, [Problem(Mark(file, line), "", "not YAML: a control character")]
    if node is None:
        return None, []
    builder = _Builder(loader, file, text)
    try:
        return builder.build(node, ""), builder.problems
    except _TooMuch as error:
        return BROKEN, [Problem(Mark(file, error.line), "", str(error))]


def _without_quotes(words: str) -> str:
    """PyYAML's words without the anchors and tags that it quotes; single characters and token names stay."""
    return re.sub(r"""'[^']*'|"[^"]*["]""", lambda quote: quote[0] if _is_harmless(quote[0][1:-1]) else "…", words)


def _hint(words: str) -> str:
    """What to do about it, where that is known: most often a password has characters that mean something to YAML."""
    if r"'\t'" in words:
        return "; indent with spaces, and put a value with a tab in quotes"
    if "cannot start any token" in words or "undefined alias" in words or "block scalar" in words:
        return "; put it in quotes"
    if "mapping values are not allowed" in words:
        return "; put a value with `: ` in quotes"
    return ""


def _is_harmless(quoted: str) -> bool:
    return len(quoted) == 1 or quoted.startswith(("\\", "<"))


# --- PyYAML with fewer implicit scalars --------------------------------------------------------------------

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}
_TAGS = {
    yaml.ScalarNode: {"str", "null", "bool", "int", "float"},
    yaml.MappingNode: {"map"},
    yaml.SequenceNode: {"seq"},
}


class _TooMuch(Exception):
    """The document exceeds a bound, on this line."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with other implicit scalars, and with bounds on what it makes nodes of."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  a table of the class, as PyYAML has it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; PyYAML calls this again for each node inside it."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _TooMuch(f"nests deeper than {MAX_DEPTH} levels", self.line + 1)
        if self._nodes > MAX_VALUES:
            raise _too_many(self.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _too_many(line: int) -> _TooMuch:
    return _TooMuch(f"holds more than {MAX_VALUES} values, aliases followed", line)


for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), None)


class _Builder:
    """Turns PyYAML's nodes into the tree; goes on after a mistake."""

    def __init__(self, loader: _Loader, file: str, text: str) -> None:
        self._text = text
        self.problems: list[Problem] = []
        self._loader = loader
        self._file = file
        self._above: list[yaml.Node] = []
        self._reported: set[tuple[int, str]] = set()
        self._values = 0

    def build(self, node: yaml.Node, path: str) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _too_many(node.start_mark.line + 1)
        if node in self._above:
            return self._broken(node, path, "an alias that contains itself")
        if node.tag not in {_TAG + name for name in _TAGS[type(node)]}:
            hint = "; put it in quotes" if isinstance(node, yaml.ScalarNode) else ""
            return self._broken(node, path, f"an unknown YAML tag{hint}")
        self._above.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._scalar(node, path)
        finally:
            self._above.pop()

    def _mapping(self, node: yaml.MappingNode, path: str) -> MarkedDict:
        mapping = MarkedDict(self._mark(node), path)
        merged: list[Any] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not is_unicode(key.value):
                self._broken(key, path, "a key that is not a plain text")
            elif key.tag == _TAG + "merge":
                built = self.build(value, path)
                merged.extend(built if isinstance(built, MarkedList) else [built])
            elif key.value in mapping:
                self._broken(
                    key, join(path, key.value), f"given twice; first on line {mapping.marks[key.value].line}"
                )
            else:
                mapping.put(key.value, self.build(value, join(path, key.value)), self._mark(key))
                if self._is_cut(value):
                    mapping.cut.add(key.value)
        for other in merged:
            if isinstance(other, MarkedDict):
                for name in other:
                    if name not in mapping:
                        mapping.put(name, other[name], other.marks[name])
            elif other is not BROKEN:
                self._broken(node, path, "<<: takes a mapping, or a list of mappings")
        return mapping

    def _sequence(self, node: yaml.SequenceNode, path: str) -> MarkedList:
        sequence = MarkedList(self._mark(node), path)
        for index, item in enumerate(node.value):
            sequence.add(self.build(item, join(path, index)), self._mark(item))
        return sequence

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (LookupError, ValueError):  # such as !!bool perhaps, !!int many, !!float ""
            return self._broken(node, path, "does not fit its YAML tag")
        if isinstance(value, str) and not is_unicode(value):
            return self._broken(node, path, "half a surrogate pair")
        return value

    def _is_cut(self, node: yaml.Node) -> bool:
        """Whether a plain value is followed by a comment on its line, or is nothing but an anchor."""
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return False
        rest = self._text[node.end_mark.index : node.end_mark.index + 80].partition("\n")[0]
        return rest.lstrip(" \t").startswith("#") or (
            not node.value and self._text.startswith("&", node.start_mark.index)
        )

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self._file, node.start_mark.line + 1)

    def _broken(self, node: yaml.Node, path: str, text: str) -> object:
        if (node.start_mark.index, text) not in self._reported:  # an alias brings the same node here again
            self._reported.add((node.start_mark.index, text))
            self.problems.append(Problem(self._mark(node), path, text))
        return BROKEN
