"""A reload whose included files are broken: their streams stay exactly as they run, and all else is applied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.run.reload import compare

STREAM = "{{name: {name}, url: amqps://h, username: u, password: p, queue: {queue}, tag: {tag}}}\n"
MAIN = "include: streams.d/*.yml\n"


def stream(name: str, tag: str = "old", queue: str = "q") -> str:
    """A stream as YAML."""
    return STREAM.format(name=name, tag=tag, queue=queue)


class Files:
    """A configuration with a stream of its own, and two files in ``streams.d``."""

    def __init__(self, folder: Path) -> None:
        self.main = folder / "config.yml"
        self.good = folder / "streams.d" / "a.yml"
        self.bad = folder / "streams.d" / "b.yml"
        self.good.parent.mkdir()
        self.main.write_text(MAIN + f"streams: [{stream('own')}]")
        self.good.write_text(stream("good"))
        self.bad.write_text(f"- {stream('one')}- {stream('two')}")
        self.running = load(self.main, {})

    def reload(self) -> Config:
        """What is in force after it."""
        self.running = load(self.main, {}, running=self.running)
        return self.running

    def tags(self) -> dict[str, str]:
        """Of the streams in force."""
        return {stream.name: stream.tag for stream in self.running.streams}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The files, loaded once."""
    return Files(tmp_path)


def said(config: Config) -> str:
    """The trouble of a reload."""
    assert config.trouble is not None
    return str(config.trouble)


BREAK = {
    "no YAML": "- {",
    "no stream": "5",
    "another key": "streams: []\nforward: {}",
    "unknown key": f"- {stream('one', 'new')}- {stream('two', 'new')}  typo: 1\n".replace(
        "}\n  typo: 1", ", typo: 1}"
    ),
    "a missing secret": "{name: one, url: amqps://h, username: u, password_file: /no/such, queue: q}",
    "a missing credentials file": "{name: one, credentials_file: /no/such}",
    "a missing CA": stream("one").replace("tag:", "tls: {ca_file: /no/such}, tag:"),
    "a variable": stream("one").replace("queue: q", "queue: '${NO}'"),
    "a missing key of a rule": stream("one").replace(
        "tag:", "transform: {obfuscate: [{field: a, method: hash, key_file: /no/such}]}, tag:"
    ),
    "links without a console": stream("one").replace("tag:", "transform: {links: true}, tag:"),
    "the name of a good file": stream("good", "new"),
}


@pytest.mark.parametrize("text", BREAK.values(), ids=BREAK)
def test_a_broken_file_keeps_its_own_streams_only(files: Files, text: str) -> None:
    """Whatever its mistake is; the trouble names the file, and lasts until it is mended."""
    before = files.running
    files.bad.write_text(text)
    files.good.write_text(stream("good", "new") + "")
    files.main.write_text(MAIN + f"streams: [{stream('own', 'new')}]\nlogging: {{level: debug}}\n")
    for _ in range(2):
        config = files.reload()
        assert files.tags() == {"own": "new", "good": "new", "one": "old", "two": "old"}
        assert config.streams[2:] == before.streams[2:]
        assert config.logging.level == "debug"
        assert config.kept == {"one", "two"}
        assert str(files.bad) in said(config)
    assert str(compare(before, config)) == "with other transforms: own, good; log changed"
    with pytest.raises(ConfigError):
        load(files.main, {})
    files.bad.write_text(stream("two", "new"))
    config = files.reload()
    assert files.tags() == {"own": "new", "good": "new", "two": "new"}
    assert (config.trouble, config.kept) == (None, frozenset())


def test_a_file_that_cannot_be_read(files: Files) -> None:
    """As one of another text: here it is a pipe."""
    files.bad.unlink()
    os.mkfifo(files.bad)
    assert "b.yml cannot be read" in said(files.reload())
    assert files.tags() == dict.fromkeys(("own", "good", "one", "two"), "old")


def test_a_named_file_that_is_gone(files: Files) -> None:
    """While `include` names it, its streams run; a file that no pattern matches any more takes its streams along."""
    files.main.write_text("include: [streams.d/a.yml, streams.d/b.yml]")
    files.reload()
    files.bad.unlink()
    assert "there is no file" in said(files.reload())
    assert files.tags() == dict.fromkeys(("good", "one", "two"), "old")
    files.main.write_text(MAIN)
    assert files.reload().trouble is None
    assert files.tags() == {"good": "old"}


def test_all_streams_may_be_kept(files: Files) -> None:
    """Where nothing else has streams, the rest of the file is applied all the same."""
    files.good.unlink()
    files.main.write_text(MAIN)
    files.reload()
    files.bad.write_text("- {")
    files.main.write_text(MAIN + "transform: {links: true, pulling_id: true}\nlogging: {level: debug}\n")
    config = files.reload()
    assert config.logging.level == "debug"
    assert [(each.name, each.transform.pulling_id) for each in config.streams] == [("one", False), ("two", False)]


def test_a_new_file_that_is_broken(files: Files) -> None:
    """None of its streams run, and all else does."""
    (files.bad.parent / "c.yml").write_text("- {")
    assert said(files.reload()).startswith("included files are broken and were left out; 1 mistake")
    assert files.tags() == dict.fromkeys(("own", "good", "one", "two"), "old")


def test_the_stream_that_runs_goes_before_its_namesake(files: Files) -> None:
    """A good file that now defines it has to wait: what a broken file held does not change."""
    files.bad.write_text("- {")
    files.good.write_text(f"- {stream('good', 'new')}- {stream('one', 'new', 'other')}")
    config = files.reload()
    assert files.tags() == {"own": "old", "good": "new", "one": "old", "two": "old"}
    assert [each for each in config.warnings if "stream one still runs as a broken file had it" in each]
    files.bad.unlink()
    files.reload()
    assert files.tags() == {"own": "old", "good": "new", "one": "new"}


@pytest.mark.parametrize("main", ["forwad: {}", "memory_limit: much", f"streams: [{stream('x')}, 5]"])
def test_a_mistake_of_the_file_itself_changes_nothing(files: Files, main: str) -> None:
    """All mistakes are told, those of included files too."""
    files.bad.write_text("- {")
    files.main.write_text(MAIN + main)
    with pytest.raises(ConfigError) as caught:
        files.reload()
    assert "config.yml" in str(caught.value)
    assert "b.yml" in str(caught.value)


def test_a_kept_stream_does_not_follow_a_renewed_certificate(files: Files, tmp_path: Path) -> None:
    """Not before its file is mended: it stays as it runs."""
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    files.bad.write_text(stream("one").replace("tag:", f"tls: {{ca_file: {ca_file}}}, tag:"))
    sound = files.bad.read_text()
    before = files.reload()
    files.bad.write_text("- {")
    kept = files.reload()
    assert not compare(before, kept, [ca_file])
    files.bad.write_text(sound)
    assert str(compare(kept, files.reload())) == "restarted: one"
