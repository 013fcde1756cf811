"""A long list of the REST API, item by item, although it moves while it is read.

Computers come and go while tens of thousands of them are listed, and pages are addressed by offset.  So an item may
come twice, and one may be skipped.  A `Listing` passes over what came before, by its key.  When the total changed
during a pass, or fewer items came than it says, it reads the list again, up to `passes` times, and gives what is new.

Memory: one page as it arrived, one item decoded, and 16 bytes for each key, `MAX_PAGES` full pages at most.
A page of vulnerabilities may have 25 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from fluent_plugin_amp.cisco import answers, pieces
from fluent_plugin_amp.cisco.api import CiscoApi, Query
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.turns import Turns

MAX_PAGES = 2000
"""Of one pass; a list of more is refused: it would take most of an hour's requests."""
MAX_ITEM_BYTES = 4 << 20
"""A program with the thousand computers that the cloud lists has half a megabyte."""
MAX_COMPUTER_BYTES = 128 << 10
"""For whoever keeps many of them: Cisco's have some two kilobytes."""
MAX_PASSES = 3
MAX_KEY = 64
"""Characters of a SHA-256; a GUID has 36.  Whoever compares lists keeps the key of each item."""

Json = dict[str, Any]


class Listing:
    """One reading of a list.

    Args:
        api: of the organisation.
        path: as ``/v1/computers``.
        key_of: by what an item is known; None: it is not what it should be, and is counted as `odd`.
        query: filters of the list.
        limit: items of a page.
        inside: the field of ``data`` that holds the list; None: ``data`` is the list.
        max_item_bytes: an item that is larger is there, but is not given; it is counted as `odd`.
        turns: of the work that reading is a part of; None: it has its own.
        passes: so often the list is read at most; 1 where it is asked for again anyway.
    """

    def __init__(
        self,
        api: CiscoApi,
        path: str,
        key_of: Callable[[Json], str | None],
        *,
        query: Query = (),
        limit: int = 500,
        inside: str | None = None,
        max_item_bytes: int = MAX_ITEM_BYTES,
        turns: Turns | None = None,
        passes: int = MAX_PASSES,
    ) -> None:
        self.read = 0
        """Items that came, of this pass."""
        self.total: int | None = None
        """Of all pages, as the cloud told last; None: it does not tell."""
        self.odd = 0
        """Items that are no objects, have no key, or are too large."""
        self.is_steady = False
        """The last pass found the same total on each page, and so many: what did not come is not in the list."""
        self._api = api
        self._path = path
        self._key_of = key_of
        self._query = query
        self._limit = limit
        self._inside = inside
        self._max_item_bytes = max_item_bytes
        self._turns = turns or Turns()
        self._passes = passes
        self._seen: set[bytes] = set()

    def __contains__(self, key: str) -> bool:
        """Whether the item of this key came."""
        return _digest(key) in self._seen

    async def items(self) -> AsyncIterator[Json]:
        """Each item once, in the order of the list.

        Raises:
            CloudAnswerNotUnderstood: a page is not a list, or there is no end of pages; and what `CiscoApi` raises.
        """
        for _ in range(self._passes):
            self.is_steady = True
            async for item in self._one_pass():
                yield item
            if self.is_steady:
                return

    async def whole(self) -> list[Json]:
        """All of them, for what is decided by who is there.  Raises what `items` and `refuse_if_cut` raise."""
        found = [item async for item in self.items()]
        self.refuse_if_cut()
        return found

    def refuse_if_cut(self) -> None:
        """Raises CloudAnswerNotUnderstood where, after the last item, one of the list may not have come."""
        if not self.is_steady or self.odd:
            raise CloudAnswerNotUnderstood(
                f"GET {self._path}: the list is cut, or does not rest: "
                f"{self.read} of {self.total} items came, {self.odd} of them unreadable"
            )

    async def _one_pass(self) -> AsyncIterator[Json]:
        self.read, self.total = 0, None
        asked, previous = f"GET {self._path}", None
        for page_number in range(MAX_PAGES):
            query = [*self._query, ("limit", str(self._limit)), ("offset", str(self.read))]
            envelope = pieces.envelope(await self._api.get_body(self._path, query), asked)
            total = answers.total(envelope.about)
            if page_number and total != self.total:
                self.is_steady = False
            self.total = total
            await self._turns.rest()
            page = pieces.items(envelope.data, asked, self._inside)
            await self._turns.rest()
            ends = (len(page), bytes(page[0]), bytes(page[-1])) if page else None
            if ends is not None and ends == previous:
                raise CloudAnswerNotUnderstood(f"{asked}: the same page came twice")
            previous = ends
            if self.read + len(page) > MAX_PAGES * self._limit:
                raise CloudAnswerNotUnderstood(f"{asked}: no end after {self.read + len(page)} items")
            for raw in page:
                item = self._take(raw)
                if item is not None:
                    yield item
                await self._turns.rest()
            self.read += len(page)
            if not page or answers.next_page(envelope.about) is None:
                if self.read < (total or 0):
                    self.is_steady = False  # it ended too early
                return
        raise CloudAnswerNotUnderstood(f"{asked}: no end after {MAX_PAGES} pages")

    def _take(self, raw: msgspec.Raw) -> Json | None:
        """The item, unless it came before or is none."""
        try:
            item = pieces.one_object(raw, self._path)
            key = self._key_of(item)
        except CloudAnswerNotUnderstood:
            key = None
        if key is None:
            self.odd += 1
            return None
        digest = _digest(key)
        if digest in self._seen:
            return None
        self._seen.add(digest)
        if len(memoryview(raw)) > self._max_item_bytes:
            self.odd += 1
            return None
        return item


def guid_of(name: str) -> Callable[[Json], str | None]:
    """Takes an item's key from its field ``name``, in lower case."""

    def key_of(item: Json) -> str | None:
        guid = item.get(name)
        return guid.lower() if isinstance(guid, str) and 0 < len(guid) <= MAX_KEY else None

    return key_of


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
