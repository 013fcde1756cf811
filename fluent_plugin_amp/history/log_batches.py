"""The entries that an audit log has for a span, in batches, each compared with what was delivered.

The span is read in windows of a day, as `run` reads them, later ones first.  An entry is known by the bytes that
`run` delivers (`organisation.windows`): nothing in it is rounded, and equal entries are told apart by their number.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.history.batches import Batch, Progress
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.organisation.audit_logs import Entry, read
from fluent_plugin_amp.organisation.windows import LONGEST_S, MOST_ENTRIES, Window
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state.store import Store


async def log_batches(api: CiscoApi, line: str, leg: Bookmark, store: Store | None) -> AsyncIterator[Batch]:
    """What is left of ``leg``: a batch for each page, and an empty one at the end of each window.

    Args:
        api: of the organisation.
        line: under which the state file knows what was delivered: ``organisation/audit_logs``.
        leg: what is to be done.
        store: tells what was delivered; None: nothing was, as far as is known.
    """
    began = time.monotonic()
    count, floor = 0, leg.floor
    progress = Progress(0, None, None)
    odd: set[bytes] = set()
    while floor > leg.down_to:
        window = Window(max(leg.down_to, floor - LONGEST_S), floor)
        compared = _Compared(line, window, store, odd)
        async for page in read(api, window):
            batch = compared.batch(page)
            batch.mark = Bookmark(leg.since, leg.until, leg.down_to, floor, 0)
            count += len(batch.bodies)
            batch.progress = Progress(count, progress.left, progress.left_s)
            yield batch
        floor = window.since
        share_left = (floor - leg.down_to) / (leg.floor - floor)  # of what is done
        progress = Progress(count, round(count * share_left), (time.monotonic() - began) * share_left)
        mark = Bookmark(leg.since, leg.until, leg.down_to, floor, 0)
        yield Batch(gives_time=True, mark=mark, progress=progress)


class _Compared:
    """Compares the entries of one window; those that come again are left out.

    ``odd``: entries without a time that came in an earlier window, as they come in all.
    """

    def __init__(self, line: str, window: Window, store: Store | None, odd: set[bytes]) -> None:
        self._line = line
        self._store = store
        self._odd = odd
        self._seen: set[bytes] = set()
        self._known: set[bytes] = set()
        if store is not None:
            delivered = store.delivered_between(line, window.since, window.until - 1)
            self._known.update(digest for digest, _ in delivered)

    def batch(self, page: list[Entry]) -> Batch:
        """What is new of a page."""
        batch = Batch(gives_time=True)
        for entry in page:
            digest = digest_of(entry.body)
            seen = self._odd if entry.is_odd and len(self._odd) < MOST_ENTRIES else self._seen
            if digest in seen:
                continue
            seen.add(digest)
            if not self._is_known(digest, entry):
                batch.unknown.missing.append(len(batch.bodies))
                batch.unknown.candidates.append(len(batch.bodies))
            batch.bodies.append(entry.body)
            batch.facts.append(EventIdentity(None, entry.at, 0, None, None))
        return batch

    def _is_known(self, digest: bytes, entry: Entry) -> bool:
        if digest in self._known:
            return True
        # Without a time, it was delivered under the time of whichever window had it.
        return entry.is_odd and self._store is not None and self._store.contains(self._line, digest)
