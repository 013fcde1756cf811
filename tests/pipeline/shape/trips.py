"""``make shapes``: a great many events through each schema, hostile ones too: no value is lost, no event changed."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import click

from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.shape.ocsf_table import VERSIONS
from fluent_plugin_amp.pipeline.shape.records import KINDS
from fluent_plugin_amp.testing.events import EventGenerator
from tests.pipeline.shape.ecs_schema import faults
from tests.pipeline.shape.hostile import hostile
from tests.pipeline.shape.organisation_records import RECORDS
from tests.pipeline.shape.test_ecs import lost_in as lost_in_ecs
from tests.pipeline.shape.test_ocsf import lost_in as lost_in_ocsf

ARRIVAL = 1557506167.25
SHOWN = 3
"""Of each schema's losses."""


def records(kind: str, plain: int, hostile_ones: int, seed: int) -> Iterator[dict[str, Any]]:
    """Of one kind: as they come, then with values that Cisco does not send."""
    generator, random = EventGenerator(seed), Random(seed)
    for number in range(plain + hostile_ones):
        record = RECORDS[kind][number % len(RECORDS[kind])] if kind in RECORDS else generator.event()
        if number >= plain:
            record = hostile(record, random)
        if isinstance(record, dict):
            yield record


@click.command()
@click.option("--events", default=100_000, show_default=True, help="As Cisco sends them, through each schema.")
@click.option("--hostile", "hostile_ones", default=10_000, show_default=True, help="And with odd values.")
@click.option("--only", multiple=True, type=click.Choice([*VERSIONS, "ecs"]), help="Default: all of them.")
@click.option("--seed", type=int, help="Default: another one each time; it is printed.")
def main(events: int, hostile_ones: int, only: tuple[str, ...], seed: int | None) -> None:
    """Shape, and look for each value in the record that was made."""
    seed = time.time_ns() % 1_000_000 if seed is None else seed
    print(f"seed {seed}", flush=True)
    found = 0
    for schema in only or (*VERSIONS, "ecs"):
        for kind in KINDS:
            count, bad = 0, []
            plain = events if kind not in RECORDS else len(RECORDS[kind])
            shape = EcsShape("emea", records=kind) if schema == "ecs" else OcsfShape("emea", schema, records=kind)
            lost_in = lost_in_ecs if schema == "ecs" else lost_in_ocsf
            for record in records(kind, plain, hostile_ones, seed):
                before = copy.deepcopy(record)
                made = shape(record, ARRIVAL)
                count += 1
                if record != before:
                    bad.append(f"changed: {before}")
                if missing := lost_in(before, made):
                    bad.append(f"lost {missing}: {before}")
                if schema == "ecs" and (odd := faults(made)):
                    bad.append(f"types {odd}: {before}")
            print(f"{schema:6} {kind:16} {count:7} records, {len(bad)} faults", *bad[:SHOWN], sep="\n", flush=True)
            found += len(bad)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
