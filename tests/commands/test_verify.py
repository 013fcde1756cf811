"""Completeness records from a file, checked and drawn."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fluent_plugin_amp.commands import verify as job
from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.completeness.record import Figures, Origin, Record
from fluent_plugin_amp.completeness.verify import verify
from tests.cisco.helpers import floats_read
from tests.completeness.chains import BEGIN, KEY, Chain, two_days
from tests.observe.test_page import Reader

UNTIL = "2025-11-30"


def run(*arguments: str, lines: str | bytes = "") -> Result:
    """The command, with these lines on its standard input."""
    return CliRunner().invoke(cli, ["verify", *arguments, "-"], input=lines)


def ndjson(records: list[Record]) -> str:
    """One a line."""
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """The key, as an editor saves it."""
    file = tmp_path / "completeness.key"
    file.write_bytes(KEY + b"\n")
    return str(file)


def test_a_table_like_a_calendar(key_file: str) -> None:
    """A row for each day, a sign for each hour; exit code 0."""
    done = run("--key-file", key_file, "--until", UNTIL, lines=ndjson(two_days()))
    assert done.output.splitlines() == [
        "stream  day (UTC)   hours 0 to 23             in cloud  delivered  missing  repaired  not known",
        "emea    2025-11-28  ··········r·············      2676       2676        0         0          0",
        "emea    2025-11-29  ························      3252       3252        0         0          0",
        "· all delivered, r delivered later, or by a repair",
        "chain and HMAC are whole, every hour has its record, and nothing is missing",
    ]
    assert done.exit_code == 0


def test_what_is_wrong_is_told_with_its_place(key_file: str) -> None:
    """File, line and words; exit code 1."""
    records = two_days()
    records[1] = {**records[1], "in_cloud": 99}
    chain = Chain(Origin("a\nb", None, "0.1.0", "1"))
    chain.add(3, Figures(in_cloud=5, missing=5, not_known=0))
    done = run("--key-file", key_file, lines=ndjson([*records, *chain.records]))
    assert "emea    2025-11-28  ·XX" in done.output
    assert "-, line 2: the record of 2025-11-28T01:00:00Z was altered, or lacks fields" in done.output.replace(
        "<stdin>", "-"
    )
    assert "a\\nb: 2025-11-28T03:00:00Z: 5 of 5 events were not delivered" in done.output
    assert done.exit_code == 1


def test_nothing_is_promised_of_what_is_not_known() -> None:
    """The last line counts it; it is no problem."""
    chain = Chain()
    chain.add(0, Figures(in_cloud=7, missing=0, not_known=5))
    done = run(lines=ndjson(chain.records))
    assert done.output.splitlines()[-1] == (
        "the chain is whole, every hour has its record, and nothing is missing, "
        "but of 5 events it is not known whether they were delivered"
    )
    assert done.exit_code == 0


def test_nothing_is_promised_without_the_key() -> None:
    """A note says what was not checked."""
    done = run(lines=ndjson(two_days()) + '{"event_type": "Threat Detected"}\n\n')
    assert "note: No key was given" in done.output
    assert "note: passed over: 1 line without a completeness record" in done.output
    assert done.output.endswith("the chain is whole, every hour has its record, and nothing is missing\n")


@pytest.mark.parametrize(
    "line",
    [
        '2025-11-28T03:00:00+00:00\tedr.cisco.amp.completeness\t{"record": %s}',
        'edr.cisco.amp.completeness: [1764298800.000000, {"record": %s}]',
        '[1764298800, "edr.cisco.amp.completeness", %s]',
        "\ufeff%s",
    ],
    ids=["out_file of Fluentd", "out_file of Fluent Bit", "an array", "BOM"],
)
def test_lines_as_log_shippers_write_them(line: str) -> None:
    """The record is found in each."""
    lines = "".join(f"{line % json.dumps(record)}\n" for record in two_days())
    assert run(lines=lines).exit_code == 0


def test_one_json_object(key_file: str) -> None:
    """All of it, for programs."""
    done = run("--json", "--key-file", key_file, lines=ndjson(two_days()[:11]))
    report = json.loads(done.output)
    assert (report["is_good"], report["hmac_checked"], done.exit_code) == (False, True, 1)
    assert report["streams"][0]["hours"][10] == {
        **{"hour": "2025-11-28T10:00:00Z", "mark": "missing", "in_cloud": 110, "delivered": 107, "missing": 3},
        **{"repaired": 0, "not_known": 0, "revision": 1},
    }
    assert report["problems"] == [
        {"stream": "emea", "where": "2025-11-28T10:00:00Z", "what": "3 of 110 events were not delivered"}
    ]


def test_a_picture_for_the_auditor(tmp_path: Path) -> None:
    """One square an hour, in HTML that loads and runs nothing, and is to be read in black and white, too."""
    evil = Origin("<script>alert(1)</script>", None, "0.1.0", "1")
    chain = Chain(evil)
    chain.add(0, Figures(in_cloud=5, missing=2, not_known=0))
    picture = tmp_path / "calendar.html"
    assert run("--html", str(picture), lines=ndjson([*two_days(), *chain.records])).exit_code == 1
    reader = Reader(picture.read_text("utf-8"))
    assert not {"script", "img", "link", "iframe"} & set(reader.tags)
    assert "<script>alert(1)</script>" in reader.text
    assert reader.tags.count("td") >= 48
    assert "2 of 5 events were not delivered" in reader.text
    assert "·" in reader.text
    assert "M" in reader.text


def test_a_picture_tells_how_many_problems_are_left_out() -> None:
    """Beyond those that anybody reads."""
    report = verify([("line 1", {**two_days()[0], "in_cloud": 5})])
    report.more_problems = 7
    assert "… and 7 more." in job.document(report, BEGIN)
    assert job.verdict(report).startswith("8 problems")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "0 lines, and no completeness record"),
        ('{"event_type": "x"}\n', "1 line, and no completeness record"),
        ('{"stream": "emea", "sequ', "line 1: no JSON, or cut off"),
        ("hello\n", "line 1: no JSON, or cut off"),
        (b"\xff{\xff}\n", "line 1: no JSON, or cut off"),
        ('{"a":' * 5000 + "\n", "line 1: no JSON, or cut off"),
    ],
)
def test_other_files_are_refused(lines: str | bytes, said: str) -> None:
    """With the line; exit code 2."""
    done = run(lines=lines)
    assert said in done.output
    assert "verify.file-unusable" in done.output
    assert done.exit_code == 2


def test_too_long_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits hold before anything is kept."""
    monkeypatch.setattr(job, "MAX_LINE_BYTES", 1 << 20)
    assert "longer than 1 MiB" in run(lines="x" * (2 << 20)).output
    monkeypatch.setattr(job, "MAX_VALUES", 10_000)
    assert "more than 10,000 values" in run(lines="[" + "[]," * 9_999 + "[]]").output
    assert "1 line, and no completeness record" in run(lines='"' + "x" * 20_000 + '"').output
    monkeypatch.setattr(job, "MAX_RECORDS", 5)
    assert "more than 5 records" in run(lines=ndjson(two_days())).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "soon"], "'soon' is not a time"),
        (["--key-file", "nowhere"], "nowhere: No such file"),
        (["--html", "/nowhere/x.html"], "/nowhere/x.html cannot be written"),
    ],
)
def test_mistakes_in_the_options(arguments: list[str], said: str) -> None:
    """Are told; exit code 2."""
    done = run(*arguments, lines=ndjson(two_days()))
    assert said in done.output
    assert done.exit_code == 2


def test_an_empty_key_is_none(tmp_path: Path) -> None:
    """Nobody believes that something was checked."""
    file = tmp_path / "key"
    file.write_bytes(b"\n")
    assert "is empty" in run("--key-file", str(file), lines=ndjson(two_days())).output


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder, for instance."""
    done = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert done.exit_code == 2


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    """One that is no text, too: it is shown escaped."""
    file = tmp_path / os.fsdecode(b"\xff.ndjson")
    file.write_text(ndjson(two_days()[1:]))
    said = CliRunner().invoke(cli, ["verify", "--json", str(file)])
    assert said.exit_code == 1, said.output
    assert "\\udcff.ndjson, line 1" in json.loads(said.stdout)["problems"][0]["where"]


def test_numbers_are_read_by_python() -> None:
    """Also those in a text within the line: msgspec itself takes minutes for 64 MiB of some."""
    with floats_read() as read:
        run(lines=r'{"number": 1e308, "log": "{\"number\": -2e-308}"}')
    assert {"1e308", "-2e-308"} <= set(read)
