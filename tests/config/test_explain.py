from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.config.document import BROKEN
from fluent_plugin_amp.config.explain import explain


def words(**keys: Any) -> dict[str, str | None]:
    """What is said of a configuration's refusals, by path."""
    with pytest.raises(ValidationError) as refused:
        Config.model_validate(keys)
    return {".".join(map(str, each["loc"])): explain(each, Config) for each in refused.value.errors()}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("stream", "unknown key; did you mean `streams`?"),
        ("dead-letters", "unknown key; did you mean `dead_letters`?"),
        ("memoryLimit", "unknown key; did you mean `memory_limit`?"),
        ("prefetch_count", "unknown key; `prefetch_count` belongs under `streams[]`"),
        ("verify", "unknown key; `verify` belongs under `streams[].tls` or under `forward.tls`"),
        ("xyzzy", "unknown key"),
    ],
)
def test_unknown_keys(key: str, said: str) -> None:
    """A typo brings the key that was meant, a key in the wrong place the right one."""
    assert words(**{key: 1})[key] == said


def test_a_missing_word_is_told_with_its_choices() -> None:
    """Any other key is just missing."""
    said = words(transform={"obfuscate": [{"preset": "user"}, {"method": "mask"}], "shape": {}}, heartbeat={})
    assert said["transform.obfuscate.0.method"] == "missing; must be `mask` or `hash` or `drop`"
    assert said["transform.obfuscate.1.field"] == "missing"
    assert said["transform.shape.to"] == "missing; must be `ocsf` or `ecs`"


def test_a_key_that_belongs_at_the_top() -> None:
    """The way up is said too."""
    assert words(forward={"observe": {}})["forward.observe"] == "unknown key; `observe` belongs at the top"


def test_what_is_reported_already_is_passed_over() -> None:
    """A broken value draws no second word, whatever the type of its key."""
    stream = {"url": BROKEN, "name": BROKEN, "username": BROKEN, "password": BROKEN, "queue": BROKEN}
    said = words(streams=[{**stream, "heartbeat": BROKEN, "tls": BROKEN}], memory_limit=BROKEN, logging=BROKEN)
    assert {"streams.0.heartbeat", "streams.0.tls", "memory_limit", "logging"} <= said.keys()
    assert set(said.values()) == {None}


def test_a_list_of_which_nothing_is_left() -> None:
    """A list whose items were all refused is not called empty besides."""
    assert words(streams=[5])["streams.0"] == "must be a mapping (key: value)"
    assert words(streams=[5]).get("streams") is None
    assert words(streams=[])["streams"] == "no stream is configured: list it here, or include its file"


def test_bytes_that_are_no_text() -> None:
    """A variable may hold any bytes; a text may not."""
    assert words(logging={"level": 1}, dead_letters={"tag": "\udcff"})["dead_letters.tag"] == "must be UTF-8"


def test_other_refusals() -> None:
    """A kind of error that has no words of ours keeps pydantic's."""
    assert explain({"type": "new", "loc": ("a",), "msg": "Input is odd", "input": 1}, Config) == "Input is odd"
