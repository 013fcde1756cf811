"""Events in OCSF and ECS, whatever their values are: valid, and nothing lost.

They are apart from the tests of the modules, which `make coverage` runs, where these would take thrice as long.
"""

from __future__ import annotations

import copy
from random import Random

import pytest

from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.pipeline.shape.ecs import EcsShape
from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape
from fluent_plugin_amp.pipeline.shape.ocsf_table import VERSIONS
from fluent_plugin_amp.testing.events import EventGenerator
from tests.pipeline.shape.ecs_schema import faults as faults_in_ecs
from tests.pipeline.shape.hostile import hostile
from tests.pipeline.shape.ocsf_schema import faults
from tests.pipeline.shape.test_ecs import lost_in as lost_in_ecs
from tests.pipeline.shape.test_ocsf import ARRIVAL, lost_in


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_valid_in_ocsf(version: str) -> None:
    """Null, masked, of the wrong type, missing."""
    shape, generator, random = OcsfShape("emea", version), EventGenerator(4), Random(5)
    for _ in range(3):
        for entry in catalogue():
            event = hostile(generator.event(entry.id), random)
            if isinstance(event, dict):
                assert faults(shape(event, ARRIVAL)) == [], event


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_lost_in_ocsf(version: str) -> None:
    """Every value of an event is in the record: where the table says, or under its own path in ``unmapped``."""
    shape, generator, random = OcsfShape("emea", version), EventGenerator(6), Random(7)
    for number in range(4000):
        event = generator.event()
        if number % 2:
            event = hostile(event, random)
            if not isinstance(event, dict):
                continue
        before = copy.deepcopy(event)
        record = shape(event, ARRIVAL)
        assert event == before
        assert lost_in(event, record) == [], event


def test_they_fit_and_nothing_is_lost_in_ecs() -> None:
    """Null, masked, of the wrong type, missing."""
    shape, generator, random = EcsShape("emea"), EventGenerator(6), Random(7)
    for number in range(6000):
        event = generator.event()
        if number % 3:
            event = hostile(event, random)
            if not isinstance(event, dict):
                continue
        before = copy.deepcopy(event)
        record = shape(event, ARRIVAL)
        assert event == before
        assert faults_in_ecs(record) == [], event
        assert lost_in_ecs(event, record) == [], event
