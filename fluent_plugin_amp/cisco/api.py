"""The Cisco cloud's REST API, version 1: every request tried as often as is safe.

What may be repeated, and what not::

    GET, PATCH, DELETE   repeated after connection errors and 5xx, with jittered back-off
    POST                 repeated only when it surely was not sent, or was turned away by the rate limit;
                         otherwise `CreationInDoubt`: `streams.create` then looks whether the stream exists
    `CiscoApi.act`       the same for what is done to computers and lists of files, in any method: `ActionInDoubt`
    429                  waited out (`Wait` shows it), for at most ``max_wait_s`` in all

The API key travels in one header to one host: no redirect is followed, and of a link to the next page only
the query is used.  The key is masked wherever a cloud echoes it.

A list ends: at a page without ``next``, at an empty one, or with an error where pages repeat, go in a circle, or are
more than `MAX_PAGES` or `MAX_LIST_BYTES`.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.cisco import answers, pieces
from fluent_plugin_amp.cisco.address import address_of
from fluent_plugin_amp.cisco.answers import EventPage, EventStream, ListPage, RateLimit
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.budget import Budget
from fluent_plugin_amp.cisco.errors import (
    ActionInDoubt,
    CloudAnswerLost,
    CloudAnswerNotUnderstood,
    CloudCredentialsRefused,
    CloudProxyRefused,
    CloudRateLimited,
    CloudReadOnlyKey,
    CredentialsNotSaved,
    EventStreamNotFound,
)
from fluent_plugin_amp.cisco.names import Named
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.cisco.transport import ExchangeFailed, HttpAnswer, exchange
from fluent_plugin_amp.cisco.unpacking import is_page
from fluent_plugin_amp.errors import PluginError

if TYPE_CHECKING:
    import httpx

ACT_CONNECT_S = 4.0
"""So long a connection, and its TLS, may take at most for what is done on a look: the look would be old by then."""
RETRIES = 4
"""How often a request that may be repeated is repeated after trouble, before its error is reported."""

MAX_PAGES = 1000
"""A list of more pages than that is refused: no organisation has half a million groups."""
MAX_LIST_BYTES = 256 << 20
"""So large may all pages of a list be together, unpacked: they are kept in memory."""
MAX_LINK = 2000
"""Characters of a link to the next page: the longest of Cisco's has some hundred."""

Query = Sequence[tuple[str, str]]

FULL_PAGES: Query = (("limit", "500"),)
"""The most items that Cisco puts into one page, for the lists that are paged."""


class Wait(Protocol):
    """Waits ``seconds``, showing ``why`` where someone looks."""

    async def __call__(self, seconds: float, why: str) -> None:
        """Return when they are over."""


async def wait_silently(seconds: float, why: str) -> None:
    """The `Wait` of a program that nobody watches."""
    await asyncio.sleep(seconds)


class CreationInDoubt(CloudAnswerLost):
    """The request to create a stream was sent, and no answer says whether it was done.

    ``trouble`` is what happened instead; with ``late`` the cloud may still be working on it.
    """

    def __init__(self, trouble: PluginError, *, late: bool) -> None:
        super().__init__(f"it is not known whether the stream was created: {trouble}")
        self.trouble = trouble
        self.late = late


class NotTaken(Exception):
    """A request of `CiscoApi.act` was not done, for a passing reason; the pause before another try is over."""

    def __init__(self, error: PluginError) -> None:
        super().__init__(str(error))
        self.error = error


class CiscoApi:
    """One organisation, seen through one API key.

    Args:
        cloud: where its API is.
        key: the API credential.
        http: the client to send with (`transport.http_client`), which others may share.
        wait: how to wait before a request is repeated.
        max_wait_s: how long the rate limit may hold up one request.
        budget: of the key, where it may not use all of the rate limit; shared by all that use the key.
    """

    def __init__(
        self,
        cloud: Cloud,
        key: ApiKey,
        http: httpx.AsyncClient,
        *,
        wait: Wait = wait_silently,
        max_wait_s: float = 300.0,
        budget: Budget | None = None,
    ) -> None:
        self.cloud = cloud
        self.rate_limit: RateLimit | None = None
        """As the last answer that told it said."""
        self.requests = 0
        """Made so far."""
        self._key = key
        self._http = http
        self._wait = wait
        self._max_wait_s = max_wait_s
        self._budget = budget
        self._key_is_good = False
        self.before_act: Callable[[], None] | None = None  # called when a request of `act` is about to be sent

    # --- what the cloud knows --------------------------------------------------------------------

    async def version(self) -> str:
        """The API's version; the cheapest test of a key."""
        decoded = await self.envelope("/v1/version")
        return str(decoded.get("version", ""))

    async def may_write(self) -> bool | None:
        """Whether the key is Read & Write; None where the cloud's answer does not tell.

        Tried with an empty change to a stream that cannot exist (id 0): nothing can be changed by it.
        """
        try:
            await self._try("PATCH", "/v1/event_streams/0", (), {})
        except ExchangeFailed as failed:
            if isinstance(failed.error, (CloudReadOnlyKey, CloudCredentialsRefused)):
                return False
            return True if isinstance(failed.error, EventStreamNotFound) else None
        return None

    async def event_types(self) -> list[Named[int]]:
        """The event types that the organisation can receive."""
        return [answers.event_type(item) async for item in self._every("/v1/event_types", ())]

    async def groups(self) -> list[Named[str]]:
        """The groups of computers."""
        return [answers.group(item) async for item in self._every("/v1/groups", FULL_PAGES)]

    async def event_streams(self) -> list[EventStream]:
        """The event streams there are, none with its password."""
        return [answers.event_stream(item) async for item in self._every("/v1/event_streams", ())]

    async def event_stream(self, stream_id: int) -> EventStream:
        """One event stream.  Raises EventStreamNotFound."""
        path = f"/v1/event_streams/{stream_id}"
        return answers.event_stream(answers.one(await self.envelope(path), f"GET {path}"))

    async def audit_log_pages(self, start_time: str, end_time: str) -> AsyncIterator[ListPage]:
        """The audit log between two times (ISO 8601), page by page; of the order nothing is known."""
        query = [("start_time", start_time), ("end_time", end_time), *FULL_PAGES]
        async for page in self._pages("/v1/audit_logs", query):
            yield page

    async def event_page(self, filters: Query, *, offset: int, limit: int) -> EventPage:
        """Recorded events, newest first, from the ``offset``-th on; ``limit`` is 500 at most.

        ``filters`` as ``GET /v1/events`` takes them: ``start_date``, ``event_type[]``, ``group_guid[]``, …
        New events push the older ones along, so the same ``offset`` is another event a moment later.
        """
        path = "/v1/events"
        body = await self._send("GET", path, [*filters, ("limit", str(limit)), ("offset", str(offset))])
        envelope = pieces.envelope(body, f"GET {path}")
        events, total = pieces.items_or_one(envelope.data, f"GET {path}"), answers.total(envelope.about)
        is_more = total is not None and offset + len(events) < total  # then a link that is not there ends nothing
        return EventPage(events, total, is_last=answers.next_page(envelope.about) is None and not is_more)

    async def get_body(self, path: str, query: Query = ()) -> bytes:
        """The body of the answer to ``GET path``, as it is: for whoever decodes it piece by piece."""
        return await self._send("GET", path, query)

    async def envelope(self, path: str, query: Query = ()) -> dict[str, Any]:
        """The envelope of the answer to ``GET path``."""
        return answers.envelope(await self._send("GET", path, query), f"GET {path}")

    # --- changes ---------------------------------------------------------------------------------

    async def create_event_stream(
        self, name: str, *, event_types: Sequence[int] | None = None, group_guids: Sequence[str] | None = None
    ) -> EventStream:
        """Create a stream; the answer, and nothing later, holds its password.

        Raises CreationInDoubt when it may have been created or not, CredentialsNotSaved (with the answer) when
        it was, but its credentials are not where they should be.
        """
        path = "/v1/event_streams"
        wanted: dict[str, Any] = {"name": name, "event_type": event_types, "group_guid": group_guids}
        body = await self._send("POST", path, body={k: v for k, v in wanted.items() if v is not None})
        if not body.strip():
            raise CreationInDoubt(CloudAnswerNotUnderstood(f"POST {path}: the answer is empty"), late=False)
        try:
            stream = answers.event_stream(answers.one(answers.envelope(body, f"POST {path}"), f"POST {path}"))
            address_of(stream, self.cloud)
            if stream.amqp is None or stream.amqp.password is None:
                raise CloudAnswerNotUnderstood(f"POST {path}: no password in the answer")
        except CloudAnswerNotUnderstood as exc:
            raise CredentialsNotSaved(
                f"{name!r} was created, but the cloud's answer is not understood: {exc}",
                rescue=body.decode("utf-8", "backslashreplace"),
            ) from exc
        return stream

    async def update_event_stream(self, stream_id: int, changes: Mapping[str, Any]) -> None:
        """Change ``name``, ``event_type`` or ``group_guid`` (an empty list means all)."""
        await self._send("PATCH", f"/v1/event_streams/{stream_id}", body=changes)

    async def delete_event_stream(self, stream_id: int) -> None:
        """Delete a stream, its queue, and what is left in it.  Raises EventStreamNotFound."""
        await self._send("DELETE", f"/v1/event_streams/{stream_id}")

    async def act(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> HttpAnswer:
        """Do something that is not to be done twice without a look, nor after a wait; the 2xx answer, an envelope.

        Raises ActionInDoubt when it may have been done or not, as a proxy says 200, too; NotTaken when it is time to
        look, and to try again; CloudRefused, with the answer's status.
        """
        answer = await self._exchange(method, path, body=body, once=True)
        try:
            answers.envelope(answer.body, f"{method} {path}")
        except CloudAnswerNotUnderstood as error:
            raise ActionInDoubt(f"it is not known whether it was done: {error}") from error
        return answer

    async def may(self, path: str) -> HttpAnswer:
        """The answer to ``OPTIONS path``, by which nothing is done.  Raises CloudRefused."""
        return await self._exchange("OPTIONS", path)

    # --- pages -----------------------------------------------------------------------------------

    async def _every(self, path: str, query: Query) -> AsyncIterator[dict[str, Any]]:
        """The items of all pages of a short list; `Listing` reads the long ones, which move."""
        asked, previous = f"GET {path}", list[Any]()
        async for page in self._pages(path, query):
            if page.items == previous:
                raise CloudAnswerNotUnderstood(f"{asked}: the same page came twice")
            for item in page.items:
                yield pieces.one_object(item, asked)
            previous = page.items

    async def _pages(self, path: str, query: Query) -> AsyncIterator[ListPage]:
        """Every page, following ``next`` until it is absent; a link that leads back is refused."""
        asked = f"GET {path}"
        asked_before = set[frozenset[tuple[str, str]]]()
        received = 0
        while frozenset(query) not in asked_before:
            asked_before.add(frozenset(query))
            body = await self._send("GET", path, query)
            envelope = pieces.envelope(body, asked)
            page = pieces.items_or_one(envelope.data, asked)
            received += len(body)
            if len(asked_before) > MAX_PAGES or received > MAX_LIST_BYTES:
                raise CloudAnswerNotUnderstood(f"{asked}: no end after {len(asked_before)} pages, {received} bytes")
            if page:
                yield ListPage(page, answers.total(envelope.about))
            link = answers.next_page(envelope.about)
            if link is None or not page:
                return
            query = _query_of(link, asked)
        raise CloudAnswerNotUnderstood(f"{asked}: the pages go round in a circle")

    # --- one request -----------------------------------------------------------------------------

    async def _send(self, method: str, path: str, query: Query = (), body: Mapping[str, Any] | None = None) -> bytes:
        return (await self._exchange(method, path, query, body)).body

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
    ) -> HttpAnswer:
        """A 2xx answer, after as many tries as are safe and as the rate limit allows.

        ``once``: it is tried once; the pause before another try ends with NotTaken.
        """
        waited_s, turned_away, troubles = 0.0, 0, 0
        while True:
            try:
                return await self._try(method, path, query, body, ACT_CONNECT_S if once else None)
            except ExchangeFailed as failed:
                error = failed.error
                if isinstance(error, CloudRateLimited):
                    turned_away += 1
                    pause_s = self._pause_s(turned_away)
                    if waited_s + pause_s > self._max_wait_s:
                        limits = f"to wait: {waited_s + pause_s:.0f} s, allowed: {self._max_wait_s:.0f} s"
                        raise CloudRateLimited(f"{error}; {limits}") from failed
                    waited_s += pause_s
                    await self._wait(pause_s, "the rate limit is used up")
                elif once and failed.in_doubt:
                    raise ActionInDoubt(f"it is not known whether it was done: {error}", late=failed.late) from failed
                elif method == "POST" and failed.in_doubt:
                    raise CreationInDoubt(error, late=failed.late) from failed
                elif method == "DELETE" and troubles and isinstance(error, EventStreamNotFound):
                    return HttpAnswer(204, (), b"")  # an earlier try did it, only its answer was lost
                elif failed.passing and troubles < RETRIES:
                    troubles += 1
                    await self._wait(backoff_s(troubles, random.random(), cap_s=8.0), str(error))
                else:
                    raise error from failed
                if once:
                    raise NotTaken(error) from failed

    async def _try(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, connect_s: float | None = None
    ) -> HttpAnswer:
        """The 2xx answer to one request; anything else is ExchangeFailed."""
        key, budget = self._key, self._budget
        self.requests += 1
        if budget is not None:
            while (pause_s := budget.pause_s(time.monotonic())) > 0:
                await self._wait(pause_s, "this program's share of the rate limit is used up")
            budget.spend(time.monotonic())
        answer = await exchange(
            self._http,
            method,
            self.cloud.api_url + path,
            user=key.client_id,
            password=key.api_key,
            query=query,
            body=body,
            connect_s=connect_s,
            check=None if connect_s is None else self.before_act,
        )
        told = answers.rate_limit(answer.headers, time.time())
        self.rate_limit = told or self.rate_limit
        if budget is not None:
            budget.told(told, time.monotonic())
        asked = f"{method} {path}"
        if 200 <= answer.status < 300:
            self._key_is_good = True
            hidden = answers.hidden_refusal(answer.body, asked=asked, masked=self._masked)
            if hidden is not None:
                raise ExchangeFailed(hidden, passing=False, in_doubt=False)
            return answer
        location = next((value for name, value in answer.headers if name.lower() == "location"), "")
        location, said = self._masked(location.encode()).decode(), self._masked(answer.body)
        error = answers.refusal(answer.status, said, asked=asked, key_is_good=self._key_is_good, location=location)
        trouble, late = answer.status >= 500, answer.status == 504  # of a gateway: the cloud may not have given up
        is_others = not trouble and answer.status not in (407, 429) and is_page(answer.body)
        if connect_s is not None and is_others:  # it may hide that it was done
            error, trouble = CloudProxyRefused(f"a proxy on the way answered {answer.status} to {asked}"), True
        raise ExchangeFailed(error, passing=trouble, in_doubt=trouble, late=late)

    def _pause_s(self, turned_away: int) -> float:
        """How long to wait after the ``turned_away``-th 429: until the reset, and longer each time."""
        reset_s = self.rate_limit.reset_s if self.rate_limit else None
        return max(reset_s or 0.0, backoff_s(turned_away, 0.0, first_s=1.0, cap_s=60.0))

    def _masked(self, body: bytes) -> bytes:
        """The first `WORDS_READ` bytes, without our key and unlock codes."""
        key = self._key
        basic = base64.b64encode(f"{key.client_id}:{key.api_key}".encode())
        body = body.replace(basic, b"***").replace(key.api_key.encode(), b"***")
        return _UNLOCK_CODE.sub(rb"\1***", body[: answers.WORDS_READ])


_UNLOCK_CODE = re.compile(
    rb"(unlock[-_ ]?code[^0-9a-z]{0,12}(?:is)?[^0-9a-z]{0,12})(?!null)[0-9a-z][^\"'\s,}\]\\]*", re.IGNORECASE
)
"""Whoever has it ends a computer's isolation at the computer: no error may quote it."""


def _query_of(link: str, asked: str) -> Query:
    """The query of a link to the next page; where it leads besides does not matter."""
    try:
        if len(link) > MAX_LINK:
            raise ValueError("too long")
        return parse_qsl(urlsplit(link).query, keep_blank_values=True)
    except ValueError:
        raise CloudAnswerNotUnderstood(f"{asked}: the link to the next page is not a URL") from None
