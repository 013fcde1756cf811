"""Answers that no Cisco cloud should give, for `LocalCloud.fail`: who asks must neither hang, nor grow, nor crash.

What stands between a client and the cloud (a proxy, a portal, an attacker) can answer anything.  `odd_bodies` are
answers with status 200 whose content is not what was asked for; the functions beside it are answers that cost memory
or time.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Mapping

from fluent_plugin_amp.testing.cloud import Failure, error_body


def packed(body: bytes, times: int = 1) -> bytes:
    """``body`` in gzip, so many times."""
    for _ in range(times):
        body = gzip.compress(body, compresslevel=9, mtime=0)
    return body


def bomb(mib: int, *, packed_twice: bool = False, times: int = 1) -> Failure:
    """A few kilobytes that unpack to so many MiB of blanks, an empty answer behind them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    body = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(mib))
    body += packer.compress(b'{"data": []}') + packer.flush()
    coding = "gzip, gzip" if packed_twice else "gzip"
    headers = {"content-encoding": coding}
    return Failure(times=times, status=200, body=packed(body) if packed_twice else body, headers=headers)


def dripping(pause_s: float, *, times: int = 1) -> Failure:
    """The right answer, byte by byte."""
    return Failure(times=times, works=True, drip_s=pause_s)


def reset_as_epoch(in_s: float, *, times: int = 1) -> Failure:
    """A 429 that tells the second in which the limit starts anew, not in how many seconds."""
    headers = {"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0"}
    headers["x-ratelimit-reset"] = str(int(time.time() + in_s))
    body = error_body(429, "Too Many Requests", "Rate limit exceeded")
    return Failure(times=times, status=429, body=body, headers=headers)


def odd_bodies() -> Mapping[str, bytes]:
    """Bodies by name, for test ids."""
    digits = b"9" * 5000
    return {
        "nothing": b"",
        "white space": b" \r\n",
        "null": b"null",
        "a number": b"7",
        "a list": b"[]",
        "an empty object": b"{}",
        "NaN": b'{"data": [NaN]}',
        "not UTF-8": b'{"data": "\xff"}',
        "UTF-16": '{"data": []}'.encode("utf-16"),
        "half a surrogate pair": b'{"data": [{"id": 1, "guid": "\\ud83d"}]}',
        "nested 100,000 deep": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "an integer of 5000 digits": b'{"data": [{"id": ' + digits + b', "guid": ' + digits + b"}]}",
        "5000 digits as text": b'{"data": [{"id": "' + digits + b'", "guid": "g"}]}',
        "a fraction": b'{"data": [{"id": 1.5, "guid": 1.5}]}',
        "data is null": b'{"data": null}',
        "data is text": b'{"data": "no"}',
        "data holds lists": b'{"data": [[], [[]]]}',
        "ids are objects": b'{"data": [{"id": {}, "guid": {}, "name": {}}]}',
        "errors and no data": b'{"version": "v1.2.0", "errors": [{"description": "Maintenance"}]}',
        "errors and empty data": b'{"data": {}, "errors": {"name": ["is not yours"]}}',
        "two objects": b'{"data": []}{"data": []}',
        "a web page": b"<!DOCTYPE html><title>Please log in</title>",
        "a stream without an address": b'{"data": [{"id": 1, "name": "S", "amqp_credentials": null}]}',
        "a stream at an odd address": b'{"data": {"id": 1, "guid": "g", "name": "S", "amqp_credentials": '
        b'{"user_name": "u", "password": "p", "queue_name": "q", "host": "a b/@", "port": "443"}}}',
    }
