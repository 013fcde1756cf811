from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList, locate, parse
from fluent_plugin_amp.config.problems import Mark


def tree_of(text: str) -> Any:
    """The tree of a text without mistakes."""
    tree, problems = parse(text, "f.yml")
    assert problems == []
    return tree


def problems_of(text: str) -> list[str]:
    """The mistakes of a text, as a user sees them."""
    return [str(problem) for problem in parse(text, "f.yml")[1]]


def test_every_entry_knows_its_line_and_path() -> None:
    """Marks and paths lead from any entry back to the file."""
    tree = tree_of("a:\n  - b: 1\n    c: [x,\n        y]\n")
    assert tree == {"a": [{"b": 1, "c": ["x", "y"]}]}
    item = tree["a"][0]
    assert isinstance(tree["a"], MarkedList)
    assert (item.mark, item.path, item.marks) == (
        Mark("f.yml", 2),
        "a[0]",
        {"b": Mark("f.yml", 2), "c": Mark("f.yml", 3)},
    )
    assert item["c"].marks == [Mark("f.yml", 3), Mark("f.yml", 4)]


@pytest.mark.parametrize(
    ("loc", "line", "path"),
    [
        ((), 1, ""),
        (("a",), 1, "a"),
        (("a", 0, "c"), 3, "a[0].c"),
        (("a", 0, "c", 1), 4, "a[0].c[1]"),
        (("a", 0, "missing"), 2, "a[0].missing"),
        (("a", 9, "x"), 1, "a[9].x"),
        (("b", "c"), 1, "b.c"),
    ],
)
def test_locating(loc: tuple[str | int, ...], line: int, path: str) -> None:
    """A place is found by its keys; what is not there, by what is nearest above it."""
    assert locate(tree_of("a:\n  - b: 1\n    c: [x,\n        y]\n"), loc) == (Mark("f.yml", line), path)


def test_a_grafted_part_keeps_its_own_file_and_path() -> None:
    """What comes from another file is located there."""
    tree = tree_of("streams: []\n")
    other, _ = parse("\n- url: x\n", "other.yml")
    tree["streams"].add(other[0], other[0].mark)
    assert locate(tree, ("streams", 0, "url")) == (Mark("other.yml", 2), "[0].url")
    assert locate(tree, ("streams", 0)) == (Mark("other.yml", 2), "[0]")


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("12", 12), ("-3", -3), ("1.5", 1.5)]
    + [
        (text, text)
        for text in ("no", "on", "22:22", "010", "1_000", "2024-01-01", "1e5", "0x1f", "0o7", "=", "1.2.3")
    ]
    + [("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"), ("!!int '12'", 12)],
)
def test_scalars(text: str, value: object) -> None:
    """Plain scalars are other than text only where all versions of YAML say so."""
    tree = tree_of(f"a: {text}")
    assert tree["a"] == value
    assert type(tree["a"]) is type(value)


def test_keys_are_texts() -> None:
    """No key turns into a number, a truth value or null."""
    assert tree_of("{no: 1, 5: 2, true: 3, ~: 4}") == {"no": 1, "5": 2, "true": 3, "~": 4}


def test_json_is_yaml() -> None:
    """A JSON file is read as it is, and its lines are known too."""
    tree = tree_of('{\n  "a": "b\\/c",\n  "d": [1, null]\n}')
    assert tree == {"a": "b/c", "d": [1, None]}
    assert tree.marks["d"].line == 3


def test_merging() -> None:
    """`<<` brings what the mapping lacks: its own keys go first, then the earlier of the merged."""
    tree = tree_of("- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 3}\n- *a\n- {<<: *a}\n")
    assert tree[2] == {"x": 3, "y": 1, "z": 2}
    assert tree[3] == tree[4] == {"x": 1, "y": 1}
    assert tree[2].marks["z"].line == 2


def test_nothing_is_none() -> None:
    """An empty file, or one of comments, holds nothing."""
    assert tree_of("") is None
    assert tree_of("# nothing\n") is None


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\nb: 4", [
            "f.yml:3: a: given twice; first on line 1",
            "f.yml:4: b: given twice; first on line 2",
        ]),
        ("a: {x: 1, x: 2}", ["f.yml:1: a.x: given twice; first on line 1"]),
        ("a: !secret x\nb: !!binary aGk=", [
            "f.yml:1: a: an unknown YAML tag; put it in quotes",
            "f.yml:2: b: an unknown YAML tag; put it in quotes",
        ]),
        ("a: !!python/object:os.system {}", ["f.yml:1: a: an unknown YAML tag"]),
        ("a: !!int many", ["f.yml:1: a: does not fit its YAML tag"]),
        ("a: !!bool perhaps", ["f.yml:1: a: does not fit its YAML tag"]),
        ("a: !!int ''\nb: !!float ''", [
            "f.yml:1: a: does not fit its YAML tag",
            "f.yml:2: b: does not fit its YAML tag",
        ]),
        ("? [a]\n: 1", ["f.yml:1: a key that is not a plain text"]),
        ("a: &a\n  b: *a", ["f.yml:1: a.b: an alias that contains itself"]),
        ("a: &a {<<: *a}", ["f.yml:1: a: an alias that contains itself"]),
        ("a: {<<: 5}", ["f.yml:1: a: <<: takes a mapping, or a list of mappings"]),
        ("- &a {x: 1, x: 2}\n- *a", ["f.yml:1: [0].x: given twice; first on line 1"]),
        ("a: b: c", ["f.yml:1: not YAML: mapping values are not allowed here; put a value with `: ` in quotes"]),
        ("a: 1\nb: @x", [
            "f.yml:2: not YAML: while scanning for the next token, found character '@' that cannot start any token; "
            "put it in quotes",
        ]),
        ("a: *hunter2", ["f.yml:1: not YAML: found undefined alias …; put it in quotes"]),
        ("a: !hunter2!x y", ["f.yml:1: not YAML: while parsing a node, found undefined tag handle …"]),
        ("a: 1\n---\nb: 1", [
            "f.yml:2: not YAML: expected a single document in the stream, but found another document"
        ]),
        ("a: 1\nb: \x07", ["f.yml:2: not YAML: a control character"]),
    ],
)  # fmt: skip
def test_mistakes(text: str, problems: list[str]) -> None:
    """Each mistake is reported with line and path, all those of a file at once, and no value is quoted."""
    assert problems_of(text) == problems


def test_a_mistake_leaves_the_rest_readable() -> None:
    """Only the broken value is lost."""
    tree, _ = parse("a: !x 1\nb: 2", "f.yml")
    assert isinstance(tree, MarkedDict)
    assert tree == {"a": BROKEN, "b": 2}


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])), st.sampled_from("*&!@%|>'\"{[`#-?: "))
def test_a_secret_is_never_quoted(rest: str, sign: str) -> None:
    """Whatever a password looks like to YAML, no message repeats it."""
    _, problems = parse(f"password: {sign}hunter2{rest}\nqueue: q\n", "f.yml")
    assert not any("hunter2" in str(problem) for problem in problems)


PRINTABLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TEXTS = st.text(PRINTABLE) | st.from_regex(r"[-+.0-9a-fxoe:_]{1,8}", fullmatch=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
        max_leaves=10,
    )
)
@settings(deadline=None)
def test_what_pyyaml_writes_comes_back(value: object) -> None:
    """A file that PyYAML wrote, `amp-streams create --save` for one, is read as it was meant."""
    assert tree_of(yaml.safe_dump({"value": value}, allow_unicode=True)) == {"value": value}
