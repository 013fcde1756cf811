"""Many organisations brought to their streams."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.admin.tenants import Tenant, WantedStream
from fluent_plugin_amp.amp_streams.apply import Filters, Options, Row, apply, compare
from fluent_plugin_amp.amp_streams.plugin_files import PluginFiles
from fluent_plugin_amp.cisco import credentials
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.errors import CredentialsFileUnusable, EventStreamAmbiguous, EventStreamLimit
from fluent_plugin_amp.cisco.regions import find_cloud
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.errors import BrokerCredentialsRefused, Interrupted
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud, lost_answer, too_many_requests
from fluent_plugin_amp.testing.organisation import Organisation
from tests.cisco.helpers import Waits

DETECTED, QUARANTINED = 1090519054, 553648143
ALL = Filters(None, None)
SIEM = WantedStream("SIEM", "acme-siem", None, None)


# --- comparing -----------------------------------------------------------------------------------


def steps(wanted: list[tuple[WantedStream, Filters]], there: list[EventStream], *, prune: bool = False) -> list[str]:
    """What `compare` says, in short."""
    return [f"{step.action} {step.name}" for step in compare(wanted, there, prune=prune)]


def test_what_is_missing_is_created_and_what_differs_is_updated() -> None:
    """Names are compared whatever their case; types and groups whatever their order."""
    some = Filters((1, 2), ("g",))
    assert steps([(SIEM, ALL)], []) == ["create SIEM"]
    assert steps([(SIEM, ALL)], [EventStream(1, "siem")]) == ["keep SIEM"]
    assert steps([(SIEM, some)], [EventStream(1, "SIEM", (2, 1), ("g",))]) == ["keep SIEM"]
    assert steps([(SIEM, some)], [EventStream(1, "SIEM", (2,), ("g",))]) == ["update SIEM"]
    assert steps([(SIEM, ALL)], [EventStream(1, "SIEM", None, ("g",))]) == ["update SIEM"]


def test_a_difference_is_told_in_words() -> None:
    """From how many to how many."""
    (step,) = compare([(SIEM, Filters((1, 2), None))], [EventStream(1, "SIEM", None, ("g",))], prune=False)
    assert step.detail == "event types: all → 2, groups: 1 → all"


def test_what_is_not_wanted_is_left_unless_it_is_to_be_pruned() -> None:
    """And deleted first then, because it makes room."""
    there = [EventStream(1, "old"), EventStream(2, "SOC")]
    wanted = [(SIEM, ALL), (WantedStream("SOC", "acme-soc", None, None), ALL)]
    assert steps(wanted, there) == ["create SIEM", "keep SOC", "leave old"]
    assert steps(wanted, there, prune=True) == ["delete old", "create SIEM", "keep SOC"]


def test_more_than_fit_are_refused_before_anything_is_done() -> None:
    """Unless pruning makes room, or nothing new is wanted."""
    there = [EventStream(n, f"s{n}") for n in range(5)]
    with pytest.raises(EventStreamLimit, match=r"6 event streams would be needed.*'s0', 's1'"):
        steps([(SIEM, ALL)], there)
    assert steps([(SIEM, ALL)], there, prune=True)[-1] == "create SIEM"
    assert steps([(WantedStream("s0", "l", None, None), ALL)], there)[0] == "keep s0"


def test_two_streams_of_a_wanted_name_are_refused() -> None:
    """Nobody can say which is meant."""
    with pytest.raises(EventStreamAmbiguous, match=r"2 event streams are called 'SIEM' \(1, 2\)"):
        steps([(SIEM, ALL)], [EventStream(1, "SIEM"), EventStream(2, "siem")])


# --- applying ------------------------------------------------------------------------------------


def tenant_of(cloud: LocalCloud, organisation: Organisation, name: str, *streams: WantedStream) -> Tenant:
    """A tenant that is this organisation."""
    key = ApiKey(organisation.client_id, organisation.api_key)
    return Tenant(name, name, find_cloud(cloud.url), key, streams)


class FakeBroker:
    """Knows which user has which password, and how many events wait; `commands.queue_depth` asks real ones."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.waiting: dict[str, int] = {}
        self.asked: list[tuple[str, str | None, object]] = []

    async def verify(self, path: Path, *, ca_file: str | None, proxy: object) -> None:
        """Refuse the users in `refused`."""
        self.asked.append((path.name, ca_file, proxy))
        if credentials.read(path).username in self.refused:
            raise BrokerCredentialsRefused("login was refused")

    async def count_waiting(self, queue: str, path: Path, *, ca_file: str | None, proxy: object) -> int:
        """As `waiting` says, with credentials that are good."""
        await self.verify(path, ca_file=ca_file, proxy=proxy)
        return self.waiting.get(queue, 0)


@pytest.fixture
def broker() -> FakeBroker:
    """Takes everybody, and has delivered everything."""
    return FakeBroker()


Apply = Callable[..., Any]


@pytest.fixture
async def run(cloud: LocalCloud, waits: Waits, broker: FakeBroker, tmp_path: Path) -> AsyncIterator[Apply]:
    """``await run([tenants], prune=…)`` gives the rows."""
    async with http_client() as http:

        async def run(tenants: list[Tenant], check: Callable[[], None] = lambda: None, **options: Any) -> list[Row]:
            return await apply(
                tenants,
                lambda tenant: CiscoApi(tenant.cloud, tenant.key, http, wait=waits, max_wait_s=60),
                PluginFiles(tmp_path),
                Options(**options),
                broker,
                done=lambda tenant, rows: None,
                check=check,
            )

        yield run


def summary(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Tenant, stream and action."""
    return [(row.tenant, row.stream, row.action) for row in rows]


async def test_a_fleet_is_brought_there_and_stays(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Streams, credentials (0600) and streams.d appear; a second run has nothing to do and changes no file."""
    wanted = WantedStream("SIEM", "acme-siem", ("Threat Detected",), ("Audit",), {"add": {"tenant": "acme"}})
    tenant = tenant_of(cloud, organisation, "acme", wanted)
    assert summary(await run([tenant])) == [("acme", "SIEM", "create")]

    (stream,) = organisation.streams.values()
    assert (stream.name, stream.event_types) == ("SIEM", (DETECTED,))
    saved = tmp_path / "credentials" / "acme-siem.yml"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert stat.S_IMODE(saved.parent.stat().st_mode) == 0o700
    credentials = yaml.safe_load(saved.read_text())
    assert (credentials["name"], credentials["password"]) == ("acme-siem", stream.password)
    included = tmp_path / "streams.d" / "acme.yml"
    assert yaml.safe_load(included.read_text()) == [
        {"name": "acme-siem", "credentials_file": "../credentials/acme-siem.yml", "add": {"tenant": "acme"}}
    ]
    assert stream.password not in included.read_text()

    before = included.stat().st_mtime_ns
    assert summary(await run([tenant])) == [("acme", "SIEM", "keep")]
    assert included.stat().st_mtime_ns == before


async def test_a_dry_run_changes_nothing(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Neither in the cloud nor on disk."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    (row,) = await run([tenant], dry_run=True, prune=True)
    assert (row.action, row.detail) == ("create", "event types: all, groups: all")
    assert organisation.streams == {}
    assert os.listdir(tmp_path) == []
    assert {method for method, _ in cloud.requests} == {"GET"}


async def test_a_changed_wish_is_updated(run: Apply, cloud: LocalCloud, organisation: Organisation) -> None:
    """Types and groups follow the file, back to everything too."""
    tenant = tenant_of(cloud, organisation, "acme", replace(SIEM, event_types=("Threat Quarantined",)))
    await run([tenant])
    (stream,) = organisation.streams.values()
    assert list(stream.event_types) == [QUARANTINED]
    (row,) = await run([replace(tenant, streams=(SIEM,))])
    assert (row.action, row.detail) == ("update", "event types: 1 → all")
    assert list(stream.event_types) == []


async def test_pruning_deletes_what_is_not_in_the_file(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Its credentials too; without pruning it is left and reported."""
    soc = WantedStream("SOC", "acme-soc", None, None)
    await run([tenant_of(cloud, organisation, "acme", SIEM, soc)])
    smaller = tenant_of(cloud, organisation, "acme", SIEM)
    assert summary(await run([smaller])) == [("acme", "SIEM", "keep"), ("acme", "SOC", "leave")]
    assert len(organisation.streams) == 2
    assert summary(await run([smaller], prune=True)) == [("acme", "SOC", "delete"), ("acme", "SIEM", "keep")]
    assert [stream.name for stream in organisation.streams.values()] == ["SIEM"]
    assert os.listdir(tmp_path / "credentials") == ["acme-siem.yml"]
    await run([tenant_of(cloud, organisation, "acme")], prune=True)
    assert os.listdir(tmp_path / "streams.d") == []


async def test_a_stream_whose_credentials_are_missing_is_reported(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Its password cannot be had again: what to do is said, and other streams are not touched."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    (tmp_path / "credentials" / "acme-siem.yml").unlink()
    (row,) = await run([tenant])
    assert row.action == "fail"
    assert "its credentials are not in" in row.detail
    assert row.error is not None
    assert "amp-streams apply … --rotate 'acme'" in row.error.remedy


async def test_a_stream_that_was_deleted_elsewhere_is_made_anew(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """The credentials of the old one are set aside, never overwritten."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    saved = tmp_path / "credentials" / "acme-siem.yml"
    old = saved.read_text()
    organisation.delete(1)
    assert summary(await run([tenant])) == [("acme", "SIEM", "create")]
    assert saved.read_text() != old
    assert (tmp_path / "credentials" / "acme-siem.yml.old").read_text() == old


async def test_what_was_set_aside_is_never_overwritten(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Nobody knows what an older file still opens."""
    tenant, saved = tenant_of(cloud, organisation, "acme", SIEM), tmp_path / "credentials" / "acme-siem.yml"
    texts = []
    for number in (1, 2, 3):
        await run([tenant])
        texts.append(saved.read_text())
        organisation.delete(number)
    await run([tenant])
    assert [saved.with_name(f"{saved.name}{end}").read_text() for end in (".old", ".old2", ".old3")] == texts


# --- rotating ------------------------------------------------------------------------------------

TWIN = EventStream(9, "SIEM (rotating)")


def test_the_twin_of_a_rotation_is_never_deleted() -> None:
    """Neither is a stream made anew while only its twin is there; the twin of an unwanted stream goes with it."""
    for prune in (False, True):
        assert steps([(SIEM, ALL)], [EventStream(1, "SIEM"), TWIN], prune=prune) == [
            "keep SIEM",
            "rotating SIEM (rotating)",
        ]
        assert steps([(SIEM, ALL)], [TWIN], prune=prune) == ["rotating SIEM (rotating)"]
    unwanted = [EventStream(1, "SOC"), EventStream(2, "SOC (rotating)")]
    assert steps([], unwanted, prune=True) == ["delete SOC", "delete SOC (rotating)"]
    both = [(SIEM, ALL), (replace(SIEM, name=TWIN.name), ALL)]
    assert steps(both, [EventStream(1, "SIEM"), TWIN], prune=True) == ["keep SIEM", "keep SIEM (rotating)"]


async def test_a_rotation_from_the_fleet_file(
    run: Apply, cloud: LocalCloud, organisation: Organisation, broker: FakeBroker, tmp_path: Path
) -> None:
    """Twin; nothing while events wait; then the twin takes the place, in the cloud and in the folder."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    saved, rotating = (tmp_path / "credentials" / f"acme-siem{end}" for end in (".yml", ".rotating.yml"))
    old, listed = saved.read_text(), (tmp_path / "streams.d" / "acme.yml").read_text()
    assert summary(await run([tenant], rotate=True, dry_run=True)) == [("acme", "SIEM", "twin")]
    assert summary(await run([tenant], rotate=True)) == [("acme", "SIEM", "twin")]
    twin = organisation.streams[2]
    assert (twin.name, yaml.safe_load(rotating.read_text())["password"]) == ("SIEM (rotating)", twin.password)
    assert yaml.safe_load(rotating.read_text())["name"] == "acme-siem"

    for options in ({}, {"prune": True}, {"verify": True}, {"rotate": True}):
        assert summary(await run([tenant], **options))[-1] == ("acme", "SIEM (rotating)", "rotating")
    broker.waiting["event_stream_1"] = 3
    for dry_run in (True, False):
        *_, row = await run([tenant], finish=True, dry_run=dry_run)
        assert (row.action, row.detail.startswith("events in the queue of id 1: 3;")) == ("wait", True)
    assert saved.read_text() == old

    broker.waiting.clear()
    assert summary(await run([tenant], finish=True, dry_run=True))[-1][-1] == "rotate"
    assert len(organisation.streams) == 2
    *_, row = await run([tenant], finish=True)
    assert (row.action, row.detail) == ("rotate", "id 2 has taken the place of id 1; reload the plugin")
    assert [(stream.id, stream.name) for stream in organisation.streams.values()] == [(2, "SIEM")]
    assert yaml.safe_load(saved.read_text())["password"] == twin.password
    assert os.listdir(tmp_path / "credentials") == ["acme-siem.yml"]
    assert (tmp_path / "streams.d" / "acme.yml").read_text() == listed
    assert summary(await run([tenant], verify=True, prune=True)) == [("acme", "SIEM", "keep")]


@pytest.mark.parametrize("interrupted", ["before the twin's name", "before the file"])
async def test_a_rotation_that_was_interrupted_is_finished(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path, interrupted: str
) -> None:
    """By the same command, and it begins no second one; a plain run puts the file where it belongs, too."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    await run([tenant], rotate=True)
    organisation.delete(1)
    twin = organisation.streams[2]
    if interrupted == "before the file":
        twin.name = "SIEM"
    elif summary(await run([tenant], prune=True)) != [("acme", "SIEM (rotating)", "rotating")]:
        pytest.fail("a rotation in progress is not to be touched")
    for _ in range(2):
        rows = await run([tenant], finish=True)
        assert [row.error for row in rows] == [None]
    assert [(stream.id, stream.name) for stream in organisation.streams.values()] == [(2, "SIEM")]
    saved = yaml.safe_load((tmp_path / "credentials" / "acme-siem.yml").read_text())
    assert saved["password"] == twin.password


async def test_streams_that_swapped_their_names_keep_their_own_credentials(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """A file that had to make way for another one is found where it is then."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM, WantedStream("SOC", "acme-soc", None, None))
    await run([tenant])
    first, second = organisation.streams.values()
    first.name, second.name = second.name, first.name
    for _ in range(2):
        assert summary(await run([tenant])) == [("acme", "SIEM", "keep"), ("acme", "SOC", "keep")]
        for stream, label in (first, "acme-soc"), (second, "acme-siem"):
            saved = credentials.read(tmp_path / "credentials" / f"{label}.yml")
            assert (saved.id, saved.password) == (stream.id, stream.password)


@pytest.mark.parametrize("moved", [1, 2])
async def test_a_swap_of_names_that_was_killed_is_finished(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path, moved: int
) -> None:
    """After the first or the second of its three renames: what was set aside by then is found."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM, WantedStream("SOC", "acme-soc", None, None))
    await run([tenant])
    first, second = organisation.streams.values()
    first.name, second.name = second.name, first.name
    siem, soc = (tmp_path / "credentials" / f"acme-{name}.yml" for name in ("siem", "soc"))
    siem.rename(siem.with_name("acme-siem.yml.old"))
    if moved == 2:
        soc.rename(siem)
    assert [row.action for row in await run([tenant], dry_run=True)] == ["keep", "keep"]
    assert [row.action for row in await run([tenant])] == ["keep", "keep"]
    assert [credentials.read(path).id for path in (siem, soc)] == [second.id, first.id]
    assert sorted(os.listdir(siem.parent)) == [siem.name, soc.name]


async def test_a_rotation_that_was_finished_by_hand_is_found(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Its file lies in credentials/ under another name: it is moved to where the plugin looks, the old one kept."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    organisation.delete(1)
    await run([tenant_of(cloud, organisation, "acme", replace(SIEM, label="made-by-hand"))])
    folder = tmp_path / "credentials"
    new = (folder / "made-by-hand.yml").read_text()
    (row,) = await run([tenant], dry_run=True)
    assert (row.action, row.detail.startswith("made-by-hand.yml would be ")) == ("keep", True)
    (row,) = await run([tenant])
    assert (row.action, row.detail) == ("keep", f"made-by-hand.yml is now {folder / 'acme-siem.yml'}")
    assert (folder / "acme-siem.yml").read_text() == new
    assert sorted(os.listdir(folder)) == ["acme-siem.yml", "acme-siem.yml.old"]


async def test_a_lost_password_is_replaced(
    run: Apply, cloud: LocalCloud, organisation: Organisation, broker: FakeBroker, tmp_path: Path
) -> None:
    """Nobody can drain the old queue: it is deleted where that is wished."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    (tmp_path / "credentials" / "acme-siem.yml").unlink()
    broker.waiting["event_stream_1"] = 3
    assert summary(await run([tenant], rotate=True)) == [("acme", "SIEM", "twin")]
    assert summary(await run([tenant], finish=True))[-1][-1] == "wait"
    assert summary(await run([tenant], finish=True, discard=True))[-1][-1] == "rotate"
    assert summary(await run([tenant], verify=True)) == [("acme", "SIEM", "keep")]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_old_queue_that_nobody_counts_is_not_deleted(
    run: Apply, cloud: LocalCloud, organisation: Organisation, broker: FakeBroker, dry_run: bool
) -> None:
    """Unknown is not empty, in a dry run as well; what is to be discarded is not counted."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    await run([tenant], rotate=True)
    broker.refused.add(organisation.streams[2].user_name)
    *_, row = await run([tenant], finish=True, dry_run=dry_run)
    assert isinstance(row.error, BrokerCredentialsRefused)
    assert row.error.remedy.endswith(" Or give --discard, where the new stream has them too.")
    assert len(organisation.streams) == 2
    assert summary(await run([tenant], finish=True, discard=True))[-1][-1] == "rotate"


async def test_a_twin_whose_credentials_are_elsewhere_is_left_to_who_has_them(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Nothing is deleted without them."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    await run([tenant], rotate=True)
    (tmp_path / "credentials" / "acme-siem.rotating.yml").unlink()
    *_, row = await run([tenant], finish=True)
    assert isinstance(row.error, CredentialsFileUnusable)
    assert len(organisation.streams) == 2


# --- verifying -----------------------------------------------------------------------------------


async def test_saved_credentials_are_tried_with_the_broker(
    run: Apply, cloud: LocalCloud, organisation: Organisation, broker: FakeBroker, tmp_path: Path
) -> None:
    """A wrong password is a failure where it is looked for, in a dry run too; without, nobody asks the broker."""
    wanted = replace(SIEM, config={"tls": {"ca_file": "../ca.pem"}, "proxy": "http://proxy:3128"})
    tenant = tenant_of(cloud, organisation, "acme", wanted)
    await run([tenant])
    broker.refused.add(organisation.streams[1].user_name)
    assert summary(await run([tenant])) == [("acme", "SIEM", "keep")]
    assert broker.asked == []
    for dry_run in (True, False):
        (row,) = await run([tenant], verify=True, dry_run=dry_run)
        assert (row.action, row.error and row.error.id) == ("fail", "amqp.credentials-refused")
    way = (str(tmp_path / "streams.d" / "../ca.pem"), "http://proxy:3128")
    assert broker.asked[0] == ("acme-siem.yml", *way)
    broker.refused.clear()
    await run([tenant], rotate=True)
    await run([tenant], finish=True)
    assert broker.asked[-1] == ("acme-siem.rotating.yml", *way)


async def test_another_streams_credentials_are_not_taken_for_its_own(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """The same id in another cloud: the user tells them apart."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([tenant])
    organisation.streams[1].user_name = "1-another"
    (row,) = await run([tenant])
    assert row.error is not None
    assert "its credentials are not in" in row.detail


async def test_a_tenants_failure_does_not_stop_the_rest(run: Apply, cloud: LocalCloud) -> None:
    """A wrong key, a read-only key, an unknown name and a lost answer: each is one row, the others are done."""
    organisations = [cloud.add_organisation(f"id{n}", f"key{n}", read_only=n == 1) for n in range(5)]
    tenants = [tenant_of(cloud, organisation, f"t{n}", SIEM) for n, organisation in enumerate(organisations)]
    organisations[0].api_key = "changed"
    tenants[2] = replace(tenants[2], streams=(replace(SIEM, event_types=("No Such Thing",)),))
    cloud.fail(Failure("POST", times=1))  # the read-only key's
    cloud.fail(lost_answer())
    rows = await run(tenants, at_once=1)
    assert [(row.tenant, row.error.id if row.error else row.action) for row in rows] == [
        ("t0", "cloud.credentials-refused"),
        ("t1", "cloud.read-only-key"),
        ("t2", "name.unknown"),
        ("t3", "cloud.answer-lost"),
        ("t4", "create"),
    ]


async def test_no_place_for_the_files_is_said_before_anything_is_created(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """A file where the folder should be."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "acme-siem.yml").mkdir()
    (row,) = await run([tenant_of(cloud, organisation, "acme", SIEM)])
    assert row.error is not None
    assert row.error.id == "credentials.file-unusable"
    assert organisation.streams == {}


async def test_no_folder_for_the_files_stops_everything(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """Before any cloud is asked."""
    (tmp_path / "streams.d").touch()
    with pytest.raises(CredentialsFileUnusable, match=r"streams\.d cannot be made: File exists"):
        await run([tenant_of(cloud, organisation, "acme", SIEM)])
    assert cloud.requests == []


async def test_a_streams_file_that_cannot_be_written_is_a_failure_of_its_own(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """What was done in the cloud is reported beside it."""
    (tmp_path / "streams.d" / "acme.yml").mkdir(parents=True)
    created, failed = await run([tenant_of(cloud, organisation, "acme", SIEM)])
    assert (created.action, failed.action) == ("create", "fail")
    assert "is a folder" in failed.detail


async def test_credentials_that_cannot_be_set_aside_are_not_replaced(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is created then."""

    def refuse(path: Path, to: Path, replace: Callable[..., None] = os.replace) -> None:
        if to.name.endswith(".old"):
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(path, to)

    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "acme-siem.yml").write_text("precious")
    monkeypatch.setattr(os, "replace", refuse)
    (row,) = await run([tenant_of(cloud, organisation, "acme", SIEM)])
    assert "cannot be renamed to acme-siem.yml.old" in row.detail
    assert organisation.streams == {}
    assert (tmp_path / "credentials" / "acme-siem.yml").read_text() == "precious"


async def test_a_bug_shows_after_everything_under_way_is_finished(cloud: LocalCloud, tmp_path: Path) -> None:
    """A creation that is torn away from its answer would lose a password."""
    organisations = [cloud.add_organisation() for _ in range(2)]
    tenants = [tenant_of(cloud, one, f"t{n}", SIEM) for n, one in enumerate(organisations)]
    async with http_client() as http:

        def open_api(tenant: Tenant) -> CiscoApi:
            if tenant.name == "t0":
                raise RuntimeError("a bug")
            return CiscoApi(tenant.cloud, tenant.key, http)

        with pytest.raises(RuntimeError, match="a bug"):
            await apply(
                tenants, open_api, PluginFiles(tmp_path), Options(), FakeBroker(), done=lambda tenant, rows: None
            )
    assert len(organisations[1].streams) == 1


async def test_private_clouds_bring_their_ca(
    run: Apply, cloud: LocalCloud, organisation: Organisation, tmp_path: Path
) -> None:
    """The broker's certificate is checked with the CA of the API."""
    tenant = tenant_of(cloud, organisation, "acme", SIEM)
    await run([replace(tenant, cloud=replace(tenant.cloud, ca_file="/etc/ca.pem"))])
    (entry,) = yaml.safe_load((tmp_path / "streams.d" / "acme.yml").read_text())
    assert entry["tls"] == {"ca_file": "/etc/ca.pem"}


async def test_after_an_interrupt_nothing_new_is_begun(run: Apply, cloud: LocalCloud) -> None:
    """What is under way is finished, the rest is reported as interrupted."""
    tenants = [tenant_of(cloud, cloud.add_organisation(), f"t{n}", SIEM) for n in range(3)]

    def check() -> None:
        if any(method == "POST" for method, _ in cloud.requests):
            raise Interrupted("interrupted")

    rows = await run(tenants, check, at_once=1)
    assert [row.action for row in rows] == ["create", "fail", "fail"]
    assert all(isinstance(row.error, Interrupted) for row in rows[1:])


async def test_three_hundred_tenants(run: Apply, cloud: LocalCloud, waits: Waits, tmp_path: Path) -> None:
    """All get their stream, some after a rate limit or a fault; at most eight are worked on at a time."""
    tenants = [
        tenant_of(
            cloud,
            cloud.add_organisation(),
            f"t{n:03}",
            WantedStream("SIEM", f"t{n:03}-siem", ("Threat Detected",), None),
        )
        for n in range(300)
    ]
    for tenant in tenants[::15]:
        cloud.fail(replace(too_many_requests(5), client_id=tenant.key.client_id))
        cloud.fail(Failure("GET", status=503, client_id=tenant.key.client_id))
    working: set[str] = set()
    most = 0

    def count(name: str) -> None:
        nonlocal most
        working.add(name)
        most = max(most, len(working))

    async with http_client() as http:

        def open_api(tenant: Tenant) -> CiscoApi:
            count(tenant.name)
            return CiscoApi(tenant.cloud, tenant.key, http, wait=waits)

        rows = await asyncio.wait_for(
            apply(
                tenants,
                open_api,
                PluginFiles(tmp_path),
                Options(at_once=8),
                FakeBroker(),
                done=lambda tenant, rows: working.discard(tenant.name),
            ),
            timeout=120,
        )
    assert summary(rows) == [(f"t{n:03}", "SIEM", "create") for n in range(300)]
    assert most == 8
    assert len(os.listdir(tmp_path / "credentials")) == len(os.listdir(tmp_path / "streams.d")) == 300
    assert waits.reasons.count("the rate limit is used up") == 20
    assert summary(await run(tenants[:2])) == [("t000", "SIEM", "keep"), ("t001", "SIEM", "keep")]
