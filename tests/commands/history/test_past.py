"""The past of an audit log: delivered, compared, repaired, gone on with; and which one is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from fluent_plugin_amp.cisco.errors import CloudServerError
from fluent_plugin_amp.commands.history.backfill import Backfill
from fluent_plugin_amp.commands.history.past import AuditLogPast, pick_audit_log
from fluent_plugin_amp.commands.history.reconcile import Reconciliation
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, UsageError
from fluent_plugin_amp.history.batches import Progress
from fluent_plugin_amp.history.span import Span
from fluent_plugin_amp.organisation.audit_logs import CURSOR
from fluent_plugin_amp.organisation.windows import DELAY_S, OVERLAP_S
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.testing.cloud import Failure
from fluent_plugin_amp.testing.forward import EventTime
from tests.commands.history.history_rig import NOW, Rig

DAY_S = 86_400
LINE = "acme/audit_logs"


def section(rig: Rig, name: str = "acme", **keys: Any) -> dict[str, Any]:
    """An organisation with an audit log."""
    return {
        "name": name,
        "cloud": {"api": rig.cloud.url},
        "api": {"client_id": rig.organisation.client_id, "api_key": rig.organisation.api_key},
        "audit_logs": {},
        **keys,
    }


def configured(rig: Rig, **keys: Any) -> Config:
    """Of one organisation."""
    return rig.config(organisations=[section(rig, **keys)])


def add_entries(rig: Rig, numbers: Iterable[int], *, every_s: int = 3600, **fields: Any) -> None:
    """Entries, so many steps ago."""
    for number in numbers:
        rig.organisation.audit_log.add(NOW - number * every_s, item=str(number), **fields)


def backfill(rig: Rig, days: int, **options: Any) -> Backfill:
    """One that is about to begin."""
    config = configured(rig)
    past = pick_audit_log(config, "audit_logs")
    return Backfill(config, past, Span(NOW - days * DAY_S, NOW), (LINE, f"{days}d", ""), **options)


def reconcile(rig: Rig, days: int, *, repair: bool = False) -> Reconciliation:
    """Likewise."""
    config = configured(rig)
    return Reconciliation(config, pick_audit_log(config, LINE), Span(NOW - days * DAY_S, NOW), NOW, repair)


def arrived(rig: Rig) -> list[int]:
    """The numbers of the entries that the server has, in order of size."""
    return sorted(int(record["item"]) for record in rig.fluentd.records)


async def test_a_span_is_delivered_once_as_run_delivers_it(rig: Rig) -> None:
    """From ``since`` on; of three equal entries three; secrets are masked; the time is that of the entry."""
    add_entries(rig, range(1, 100))
    add_entries(rig, [5, 5], new_attributes={"unlock_code": "qwerty"})
    add_entries(rig, [5])
    job = backfill(rig, 3)
    await rig.run(job)
    assert arrived(rig) == sorted([*range(1, 73), 5, 5, 5])
    assert (job.is_done, job.in_cloud, job.known, job.counters.delivered) == (True, 75, 0, 75)
    assert "qwerty" not in str(rig.fluentd.records)
    assert {chunk.tag for chunk in rig.fluentd.chunks} == {"edr.cisco.amp.audit_logs"}
    for entry in [entry for chunk in rig.fluentd.chunks for entry in chunk.entries]:
        assert isinstance(entry.time, EventTime)
        assert entry.time.seconds == NOW - int(entry.record["item"]) * 3600
    again = backfill(rig, 3)
    await rig.run(again)
    assert (again.known, again.counters.delivered) == (75, 0)
    resent = backfill(rig, 3, resend=True)
    await rig.run(resent)
    assert resent.counters.delivered == 75


async def test_interrupted_it_goes_on_where_it_was(rig: Rig) -> None:
    """By a trouble of the cloud: the days that are safe are not asked for again."""
    add_entries(rig, range(1, 100))
    first = backfill(rig, 4, resend=True)
    failure = Failure("GET", "/v1/audit_logs", times=100, status=503)

    def stop_answering(progress: Progress) -> None:
        if progress.read >= 48 and failure.times == 100:
            rig.cloud.fail(failure)

    with pytest.raises(CloudServerError):
        await rig.run(first, on_progress=stop_answering)
    assert arrived(rig) == [*range(1, 49)]
    failure.times = 0
    second = backfill(rig, 4, resend=True)
    await rig.run(second)
    assert second.resumed is not None
    assert second.resumed.until <= NOW - DAY_S
    assert arrived(rig) == [*range(1, 97)]
    assert [path.name for path in rig.folder.glob("*.backfill-*")] == []


async def test_what_is_missing_is_found_and_repaired(rig: Rig) -> None:
    """Hour by hour; what the state file cannot tell of is not known."""
    add_entries(rig, [90, 100])
    await rig.run(backfill(rig, 5))
    age_deliveries(rig, 4)
    add_entries(rig, [50, 50, 99, 110])
    found = reconcile(rig, 5)
    await rig.run(found)
    assert found.total.as_json() == {"in_cloud": 6, "delivered": 2, "missing": 2, "not_known": 2}
    assert found.found.hours[(NOW - 50 * 3600) // 3600 * 3600].missing == 2
    assert found.exit_code == EXIT_NO
    assert found.as_json()["source"] == LINE
    repaired = reconcile(rig, 5, repair=True)
    await rig.run(repaired)
    assert (repaired.repaired, repaired.exit_code) == (2, EXIT_OK)
    assert arrived(rig) == [50, 50, 90, 100]
    last = reconcile(rig, 5)
    await rig.run(last)
    assert (last.total.missing, last.exit_code) == (0, EXIT_OK)


def age_deliveries(rig: Rig, days: int) -> None:
    """What was delivered until now was delivered so many days before `NOW`."""
    store = Store.open(rig.state)
    with store.transaction():
        store._execute("UPDATE delivered SET delivered_at = ?", (NOW - days * DAY_S,))
    store.close()


async def test_the_share_of_the_rate_limit_is_kept(rig: Rig) -> None:
    """That of the organisation: when it is used up, the command waits, and says why."""
    rig.organisation.requests.limit = 20
    rig.organisation.requests.window_s = 0.2
    add_entries(rig, range(1, 1000))

    async def wait(seconds: float, why: str) -> None:
        rig.waits.append((seconds, why))
        await asyncio.sleep(seconds)

    await rig.run(backfill(rig, 15), wait=wait)
    assert len(arrived(rig)) == 360
    assert {why for _, why in rig.waits} == {"this program's share of the rate limit is used up"}


def test_what_run_reads_itself_is_left_to_it(rig: Rig) -> None:
    """So nothing arrives twice: a window of `run` reaches back over how far it has come."""
    past = pick_audit_log(configured(rig), LINE)
    assert past.end(NOW) == NOW - DELAY_S
    store = Store.open(rig.state, create=True)
    assert past.end(NOW) == NOW - DELAY_S
    with store.transaction():
        store.put_rows("kept", {(LINE, CURSOR): b"%d" % (NOW - 7200)})
    assert past.end(NOW) == NOW - 7200 - OVERLAP_S
    with store.transaction():
        store.put_rows("kept", {(LINE, CURSOR): b"%d" % (NOW + 7200)})
    assert past.end(NOW) == NOW - DELAY_S
    store.close()


def test_which_one_is_meant(rig: Rig) -> None:
    """By its name; without one where there is one only.  Nothing else has a past."""
    one = configured(rig, computers={})
    assert pick_audit_log(one, "audit_logs") == pick_audit_log(one, LINE)
    with pytest.raises(UsageError, match="no audit log is named 'acme/computers'; there are: acme/audit_logs"):
        pick_audit_log(one, "acme/computers")
    two = rig.config(organisations=[section(rig), section(rig, "beta")])
    with pytest.raises(UsageError, match="whose audit log\\? There are: acme/audit_logs, beta/audit_logs"):
        pick_audit_log(two, "audit_logs")
    assert pick_audit_log(two, "beta/audit_logs").name == "beta/audit_logs"
    with pytest.raises(UsageError, match="no organisation has `audit_logs`"):
        pick_audit_log(rig.config(), "audit_logs")
    assert isinstance(pick_audit_log(two, LINE), AuditLogPast)
