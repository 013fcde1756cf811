"""The mapping of captured events, for review."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.commands.shape_cli import shape
from fluent_plugin_amp.pipeline.shape.records import KINDS
from fluent_plugin_amp.testing.events import EventGenerator
from tests.pipeline.shape.ecs_schema import faults as ecs_faults
from tests.pipeline.shape.ocsf_schema import faults as ocsf_faults
from tests.pipeline.shape.organisation_records import RECORDS

DETECTED = 1090519054


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    """Two events, one with a field that nobody knows, and one that is none."""
    events = [EventGenerator(1).event(DETECTED), {**EventGenerator(2).event(DETECTED), "novelty": {"deep": 1}}]
    file = tmp_path / "events.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events) + '{"id": broken\n')
    return file


def test_fields_and_where_they_go(captured: Path) -> None:
    """A row for each field; what the table does not know is told."""
    done = CliRunner().invoke(cli, ["shape", str(captured)])
    assert done.exit_code == 0
    rows = {line.split()[0]: line.split() for line in done.output.splitlines() if line}
    assert "2004 Detection Finding: Create" in done.output
    assert rows["detection_id"] == ["detection_id", "2", "metadata.correlation_uid", "0"]
    assert rows["file.disposition"] == ["file.disposition", "2", "2"]
    assert rows["novelty.deep"] == ["novelty.deep", "1", "1"]
    assert "not in the table: 1 field\n  field novelty\n" in done.output


@pytest.mark.parametrize("schema", ["ocsf", "ecs"])
def test_a_long_name_before_many_fields(schema: str, tmp_path: Path) -> None:
    """200 kB with a name of 100,000 characters before 10,000 fields: the list of the fields would be a gigabyte."""
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps({"id": 1, "k" * 100_000: {str(number): 1 for number in range(10_000)}}))
    tracemalloc.start()
    try:
        done = CliRunner().invoke(cli, ["shape", "--to", schema, str(file)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.exit_code == 0
    assert peak < 50_000_000


@pytest.mark.parametrize("schema", ["ocsf", "ecs"])
def test_the_records_themselves(schema: str, captured: Path) -> None:
    """A line of JSON each; what is no event is left out."""
    done = CliRunner().invoke(cli, ["shape", "--to", schema, "--records", str(captured)])
    records = [json.loads(line) for line in done.output.splitlines()]
    faults = ocsf_faults if schema == "ocsf" else ecs_faults
    assert [faults(record) for record in records] == [[], []]


@pytest.mark.parametrize("options", [["--version", "1.7.9"], ["--to", "ecs", "--version", "1.6.0"]])
def test_a_version_that_there_is_not(options: list[str], captured: Path) -> None:
    """Is a mistake of the command line."""
    assert CliRunner().invoke(cli, ["shape", *options, str(captured)]).exit_code == 2


@pytest.mark.parametrize("schema", ["ocsf", "ecs"])
@pytest.mark.parametrize("kind", RECORDS)
def test_records_of_an_organisation(kind: str, schema: str, tmp_path: Path) -> None:
    """Are shaped by the table of their kind; what they hold is in it."""
    file = tmp_path / "records.ndjson"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in RECORDS[kind][:3]))
    done = CliRunner().invoke(cli, ["shape", "--to", schema, "--kind", kind, str(file)])
    assert done.exit_code == 0
    assert "3 events" in done.output
    assert "not in the table: nothing" in done.output


def test_every_kind_can_be_asked_for() -> None:
    """The command's own list is short of none."""
    (option,) = (each for each in shape.params if each.name == "kind")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == KINDS
