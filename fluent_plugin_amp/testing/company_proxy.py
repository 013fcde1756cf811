"""A proxy as companies have one: it opens ways to other hosts when asked with CONNECT (HTTP) or SOCKS 5.

One port takes both, told apart by the first byte.  It can ask for a user and password, forbid hosts, know names that
nobody else knows, and answer anything at all.  As a process of its own::

    python -m fluent_plugin_amp.testing.company_proxy PORT [USER:PASSWORD]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

READ_BYTES = 65_536
SOCKS_VERSION = 5


class CompanyProxy:
    """Listens on ``host`` and ``port`` while it is entered.

    Args:
        host: of loopback.
        port: 0: one that is free.
        username: who may use it; empty: everybody.
        password: of the user.
        names: addresses of names that only it can resolve.
        forbidden: hosts that it leads nobody to.
        answer: what it answers every request, in place of doing it; empty: it keeps silent.
        piecewise: send ``answer``, or what it says of a way that is open, one byte at a time.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        username: str = "",
        password: str = "",
        names: Mapping[str, str] | None = None,
        forbidden: Collection[str] = (),
        answer: bytes | None = None,
        piecewise: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.asked: list[str] = []
        """``host:port`` of each request that it understood."""
        self._user = f"{username}:{password}" if username else ""
        self._names = names or {}
        self._forbidden = forbidden
        self._answer = answer
        self._piecewise = piecewise
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self) -> None:
        """Serve until cancelled."""
        async with self:
            await asyncio.Event().wait()

    async def has(self, connections: int) -> None:
        """Return when so many clients are connected."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._tasks) == connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        await self._note(self._tasks.add, task)
        try:
            first = await reader.readexactly(1)
            target = await (self._socks(reader, writer) if first[0] == SOCKS_VERSION else self._http(reader, writer))
            if target is not None:
                await join(reader, writer, *target)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # gone; or it said what no client says
        finally:
            writer.close()
            await self._note(self._tasks.discard, task)

    async def _note(self, change: Callable[[asyncio.Task[None]], None], task: asyncio.Task[None]) -> None:
        async with self._changed:
            change(task)
            self._changed.notify_all()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Pair | None:
        """One CONNECT; where it leads, or None when it was refused."""
        line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        if self._answer is not None:
            await self._say_anything(reader, writer)
            return None
        host, _, port = line.split()[1].rpartition(":")
        self.asked.append(f"{host}:{port}")
        user = f"proxy-authorization: basic {base64.b64encode(self._user.encode()).decode()}"
        if self._user and user.lower() not in (header.lower() for header in headers):
            await self.say(writer, b"HTTP/1.1 407 Authenticate yourself, user\r\ncontent-length: 0\r\n\r\n")
            return None
        try:
            target = await self._reach(host.strip("[]"), int(port))
        except PermissionError:
            await self.say(writer, b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return None
        except OSError:
            await self.say(writer, b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return None
        await self.say(writer, b"HTTP/1.1 200 Connection established\r\nvia: a company\r\n\r\n")
        return target

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Pair | None:
        """One request after the greeting; where it leads, or None when it was refused."""
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        if self._answer is not None:
            await self._say_anything(reader, writer)
            return None
        if self._user:
            if 2 not in methods:
                await self.say(writer, b"\x05\xff")
                return None
            await self.say(writer, b"\x05\x02")
            await reader.readexactly(1)
            given = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
            if b":".join(given) != self._user.encode():
                await self.say(writer, b"\x01\x01")
                return None
            await self.say(writer, b"\x01\x00")
        else:
            await self.say(writer, b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, await reader.readexactly(size))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        code, target = 0, None
        try:
            target = await self._reach(host, port)
        except PermissionError:
            code = 2
        except socket.gaierror:
            code = 4
        except OSError:
            code = 5
        await self.say(writer, bytes([5, code, 0, 1, 127, 0, 0, 1, 0, 0]))
        return target

    async def _reach(self, host: str, port: int) -> _Pair:
        if host in self._forbidden:
            raise PermissionError
        return await asyncio.open_connection(self._names.get(host, host), port)

    async def say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        """Send one answer."""
        pieces = [answer[i : i + 1] for i in range(len(answer))] if self._piecewise else [answer]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if self._piecewise:
                await asyncio.sleep(0.001)  # a segment of its own

    async def _say_anything(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer as told, and take whatever comes."""
        await self.say(writer, self._answer or b"")
        while await reader.read(READ_BYTES):
            pass


_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until either side has ended."""
    carrying = {
        asyncio.ensure_future(_carry(reader, far_writer)),
        asyncio.ensure_future(_carry(far_reader, writer)),
    }
    try:
        await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in carrying:
            task.cancel()
        far_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    _username, _, _password = (sys.argv[2] if len(sys.argv) > 2 else "").partition(":")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(CompanyProxy(port=int(sys.argv[1]), username=_username, password=_password).serve())
