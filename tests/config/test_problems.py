from __future__ import annotations

from fluent_plugin_amp.config.problems import Mark, Problem, join, report


def test_joining_paths() -> None:
    """Keys are joined by dots, numbers stand in brackets."""
    assert join(join(join("", "streams"), 0), "url") == "streams[0].url"
    assert join("", 1) == "[1]"


def test_report() -> None:
    """Files stand in the order of their first mistake, each from top to bottom, a repeated mistake once."""
    problems = [
        Problem(Mark("b.yml", 9), "x", "wrong"),
        Problem(Mark("a.yml", 2), "y.z", "missing"),
        Problem(Mark("b.yml", 3), "", "not YAML"),
        Problem(Mark("b.yml", 9), "x", "wrong"),
    ]
    assert report(problems).split("\n") == [
        "3 mistakes in the configuration:",
        "  b.yml:3: not YAML",
        "  b.yml:9: x: wrong",
        "  a.yml:2: y.z: missing",
    ]


def test_a_single_mistake() -> None:
    """One is one."""
    assert report([Problem(Mark("a.yml", 1), "x", "wrong")]).startswith("1 mistake in")
