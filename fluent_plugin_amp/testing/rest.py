"""Requests to the local Cisco cloud's REST API, taken apart, and answers put together as Cisco's cloud does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

API_VERSION = "v1.2.0"


@dataclass(frozen=True, slots=True)
class Request:
    """A request with good credentials, taken apart."""

    method: str
    path: str
    base_url: str
    """Scheme and host as the client used them: links in the answer begin with it."""
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """Every value of a query parameter, ``name`` or ``name[]``."""
        return [value for key, value in self.query if key in (name, f"{name}[]")]


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request; ``body`` None is an answer without one."""

    status: int
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)


def refused(status: int, description: str, detail: str) -> Response:
    """An error as the API words them."""
    errors = [{"error_code": status, "description": description, "details": [detail]}]
    return Response(status, _encoded({"version": API_VERSION, "data": {}, "errors": errors}))


def answer(status: int, data: object, metadata: object = None) -> Response:
    """Data in the envelope that every answer has."""
    return Response(status, _encoded({"version": API_VERSION, "metadata": metadata or {}, "data": data}))


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def page(
    request: Request,
    found: Sequence[object],
    *,
    next_always: bool = False,
    inside: tuple[str, dict[str, Any]] | None = None,
) -> Response:
    """The part of ``found`` that ``limit`` (500 at most) and ``offset`` ask for, with links to its neighbours.

    ``inside``: ``data`` is this object, with the items in the field of this name.
    """
    limit = min(_number(request, "limit", 500), 500) or 500
    offset = _number(request, "offset", 0)
    here = found[offset : offset + limit]
    others = [pair for pair in request.query if pair[0] not in ("limit", "offset")]

    def link(start: int) -> str:
        query = urlencode([*others, ("limit", limit), ("offset", start)])
        return f"{request.base_url}{request.path}?{query}"

    links = {"self": link(offset)}
    if offset > 0:
        links["prev"] = link(max(0, offset - limit))
    if next_always or offset + limit < len(found):
        links["next"] = link(offset + limit)
    results = {
        "total": len(found),
        "current_item_count": len(here),
        "index": offset,
        "items_per_page": limit,
    }
    data = here if inside is None else {**inside[1], inside[0]: here}
    return answer(200, data, {"links": links, "results": results})


def _number(request: Request, name: str, default: int) -> int:
    text = (request.values(name) or [""])[0]
    return int(text) if text.isdecimal() else default
