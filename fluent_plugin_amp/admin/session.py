"""What every command shares: a `Session` with the cloud and the key that its options name.

A `Session` lives for one command.  It opens the API client when the command needs it, asks the user, and holds
signals back while a password is under way.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fluent_plugin_amp.admin.interrupts import Interrupts
from fluent_plugin_amp.admin.options import ACCESS_OPTIONS, NETWORK_OPTIONS
from fluent_plugin_amp.admin.screen import Screen, Unprintable
from fluent_plugin_amp.commands.console import Unconfirmed, conclude, nobody_agreed
from fluent_plugin_amp.errors import EXIT_OK, OutputClosed, UsageError

if TYPE_CHECKING:
    import httpx

    from fluent_plugin_amp.cisco.api import CiscoApi, Wait
    from fluent_plugin_amp.cisco.api_key import ApiKey
    from fluent_plugin_amp.cisco.regions import Cloud
    from fluent_plugin_amp.config.access import Access, Given
    from fluent_plugin_amp.config.proxy import ProxyWay

SHOWN_OF_ID = 8
"""So many characters of a client id tell whose it is."""

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


def connected(command: Command) -> Command:
    """Give a command the options that say which cloud and which key, and a `Session` as its first argument.

    The innermost decorator of a command: so these options come last in its help.
    """
    return _with_session(command, ACCESS_OPTIONS + NETWORK_OPTIONS)


def networked(command: Command) -> Command:
    """The same for a command that takes clouds and keys from elsewhere."""
    return _with_session(command, NETWORK_OPTIONS)


def offline(command: Command) -> Command:
    """The same for a command that asks no cloud."""

    return _with_session(command, ())


def _with_session(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    @functools.wraps(command)
    def wrapper(
        proxy: str | None = None,
        timeout_s: float = 30.0,
        max_wait_s: float = 300.0,
        region: str | None = None,
        api_host: str | None = None,
        client_id: str | None = None,
        api_key_file: str | None = None,
        config_file: Path | None = None,
        of_stream: str | None = None,
        ca_file: str | None = None,
        **arguments: Any,
    ) -> None:
        def given() -> Given:
            from fluent_plugin_amp.config.access import Given

            if of_stream is not None and config_file is None:  # an organisation is meant, but which?
                raise UsageError("--of-stream belongs to -c")
            return Given(region, api_host, client_id, api_key_file, ca_file, config_file, of_stream)

        session = Session(given, proxy=proxy, timeout_s=timeout_s, max_wait_s=max_wait_s)
        sys.exit(conclude(lambda: _while_somebody_reads(command, session, **arguments), session.screen.error))

    for option in reversed(options):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


def _while_somebody_reads(command: Command, session: Session, **arguments: Any) -> int:
    try:
        return command(session, **arguments)  # type: ignore[no-any-return]
    except Unprintable as exc:
        if exc.reader_left:
            return EXIT_OK
        raise OutputClosed(str(exc), remedy="Send the output elsewhere, and run the command again.") from exc


class Session:
    """One command under way."""

    def __init__(self, given: Callable[[], Given], *, proxy: str | None, timeout_s: float, max_wait_s: float) -> None:
        self.interrupts = Interrupts(lambda why: self.screen.note(why))
        self.screen = Screen(self.interrupts.check)
        self._given = given
        self._access: Access | None = None
        self._proxy = proxy
        self._timeout_s = timeout_s
        self._max_wait_s = max_wait_s

    # --- the API ---------------------------------------------------------------------------------

    def access(self) -> Access:
        """The key, and the cloud if one is named; what is not of the configuration that was named is said once."""
        from fluent_plugin_amp.config.access import find_access

        if self._access is None:  # once: standard input gives a key once
            given = self._given()
            self._access = find_access(given, os.environ)
            if variables := self._access.variables:
                self.screen.note(f"from the environment, not from {given.config_file}: {', '.join(variables)}")
        return self._access

    def use(self, cloud: Cloud, key: ApiKey) -> None:
        """Take this cloud and this key, instead of what options and environment name."""
        from fluent_plugin_amp.config.access import Access

        self._access = Access(cloud, key)

    def organisation(self, tenant: str | None = None) -> str:
        """Whose it is, as far as anybody knows: nothing in the API's answers has the organisation's name."""
        access = self.access()
        cloud = access.cloud.name if access.cloud else "-"
        of_key = f"client id {access.key.client_id[:SHOWN_OF_ID]}…, cloud {cloud}"
        return f"{tenant} ({of_key})" if tenant else f"of the {of_key}"

    @property
    def broker_proxy(self) -> ProxyWay | str:
        """The way to brokers, which is that to the API: of the option, the configuration or the environment."""
        return self._proxy or (self._access.proxy if self._access else None) or "environment"

    @contextlib.asynccontextmanager
    async def http(self, ca_file: str | None, connections: int = 8) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client as the options ask for."""
        from fluent_plugin_amp.run.lookup import http_proxy, open_http

        proxy = self._proxy or (http_proxy(self._access.proxy) if self._access else None)
        options = {"proxy": proxy, "timeout_s": self._timeout_s, "connections": connections}
        async with open_http(UsageError, ca_file=ca_file, **options) as client:
            yield client

    def api(self, cloud: Cloud, key: ApiKey, http: httpx.AsyncClient, wait: Wait | None = None) -> CiscoApi:
        """An API client that waits as the options allow."""
        from fluent_plugin_amp.cisco.api import CiscoApi

        return CiscoApi(cloud, key, http, wait=wait or self.screen.wait, max_wait_s=self._max_wait_s)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end."""
        import asyncio

        return asyncio.run(work())

    def with_api(self, work: Callable[[CiscoApi], Awaitable[T]]) -> T:
        """Run ``work`` with a client of the one cloud that is named."""
        access = self.access()
        cloud = access.cloud
        if cloud is None:
            raise UsageError(
                "which cloud?",
                remedy="Give --region us|eu|apjc (AMP_REGION), or --api-host for a private cloud; "
                "`amp-streams test` finds the region of a key.",
            )

        async def go() -> T:
            async with self.http(cloud.ca_file) as http:
                return await work(self.api(cloud, access.key, http))

        return self.run(go)

    # --- the user --------------------------------------------------------------------------------

    @property
    def can_ask(self) -> bool:
        """Somebody sits at the terminal that answers would come from."""
        return sys.stdin.isatty()

    def confirm(self, question: str, yes: bool) -> None:
        """Go on only when the user agrees.

        Raises Unconfirmed when not, UsageError when nobody can be asked, Unprintable when nobody can read it.
        """
        if not yes:
            self._ask(lambda: click.confirm(question, err=True, abort=True), nobody_agreed())

    def prompt(self, question: str, nobody: UsageError) -> str:
        """What the user types.  Raises ``nobody`` when nobody can be asked; Unconfirmed, Unprintable."""
        return str(self._ask(lambda: click.prompt(question, err=True), nobody))

    def _ask(self, ask: Callable[[], T], nobody: UsageError) -> T:
        if sys.stdin is None:  # closed
            raise nobody
        try:
            with self.screen.asking():
                return ask()
        except click.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise
            raise Unconfirmed if self.can_ask else nobody from None
