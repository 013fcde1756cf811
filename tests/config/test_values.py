from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fluent_plugin_amp.config import load

TEXT = """
streams:
  - {url: 'amqps://h', username: u, password: p, queue: q, add: {site: {rooms: [{name: lab}]}}}
"""


def test_static_fields_are_plain(write: Callable[[str, str], Path]) -> None:
    """However deep, they are of the types that a decoded event is made of: flattening looks at these."""
    add = load(write("c.yml", TEXT)).streams[0].add
    assert add == {"site": {"rooms": [{"name": "lab"}]}}
    assert [type(part) for part in (add["site"], add["site"]["rooms"], add["site"]["rooms"][0])] == [dict, list, dict]
