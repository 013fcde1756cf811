"""What every command of `amp-streams` shares: the options that say which cloud and which key, and how errors end.

A `Session` lives for one command.  It opens the API client when the command needs it, asks the user, holds
signals back while a password is under way, and turns every error into its exit code.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from fluent_plugin_amp.amp_streams.interrupts import Interrupts
from fluent_plugin_amp.amp_streams.screen import Screen, Unprintable
from fluent_plugin_amp.errors import EXIT_BUG, EXIT_NO, EXIT_OK, Interrupted, OutputClosed, PluginError, UsageError

if TYPE_CHECKING:
    import httpx

    from fluent_plugin_amp.cisco.api import CiscoApi, Wait
    from fluent_plugin_amp.cisco.api_key import ApiKey
    from fluent_plugin_amp.cisco.regions import Cloud
    from fluent_plugin_amp.config.access import Access, Given

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no duration: 90, 90s, 5m, 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _proxy(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and "@" in urlsplit(value).netloc:
        raise click.BadParameter("a proxy's password belongs in HTTPS_PROXY: options are seen by everybody")
    return value


_ACCESS_OPTIONS = (
    click.option("--region", metavar="us|eu|apjc", help="Cisco's public cloud.  [env: AMP_REGION]"),
    click.option("--api-host", metavar="HOST", help="A private cloud: host, host:port or URL.  [env: AMP_API_HOST]"),
    click.option("--client-id", metavar="ID", help="The API client id.  [env: AMP_CLIENT_ID]"),
    click.option(
        "--api-key-file",
        metavar="FILE",
        help="A file with the API key; - is standard input.  [env: AMP_API_KEY_FILE, or AMP_API_KEY for the key]",
    ),
    click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="Take `api:` and `cloud:` of a stream in this configuration.",
    ),
    click.option("--of-stream", metavar="NAME", help="With -c: which stream; by default the one that has `api:`."),
    click.option("--ca-file", metavar="FILE", help="PEM file of the CA of a private cloud.  [env: SSL_CERT_FILE]"),
)
_NETWORK_OPTIONS = (
    click.option("--proxy", metavar="URL", callback=_proxy, help="A proxy without a password.  [env: HTTPS_PROXY]"),
    click.option(
        "--timeout",
        "timeout_s",
        callback=_seconds,
        metavar="TIME",
        default="30s",
        show_default=True,
        help="How long to wait for a connection or an answer.",
    ),
    click.option(
        "--max-wait",
        "max_wait_s",
        callback=_seconds,
        metavar="TIME",
        default="5m",
        show_default=True,
        help="How long the rate limit may hold up a request.",
    ),
)


def connected(command: Command) -> Command:
    """Give a command the options that say which cloud and which key, and a `Session` as its first argument.

    The innermost decorator of a command: so these options come last in its help.
    """
    return _with_session(command, _ACCESS_OPTIONS + _NETWORK_OPTIONS)


def networked(command: Command) -> Command:
    """The same for a command that takes clouds and keys from elsewhere."""
    return _with_session(command, _NETWORK_OPTIONS)


def _with_session(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    @functools.wraps(command)
    def wrapper(
        proxy: str | None,
        timeout_s: float,
        max_wait_s: float,
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

            return Given(region, api_host, client_id, api_key_file, ca_file, config_file, of_stream)

        session = Session(given, proxy=proxy, timeout_s=timeout_s, max_wait_s=max_wait_s)
        sys.exit(session.conclude(lambda: command(session, **arguments)))

    for option in reversed(options):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


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
        """The key, and the cloud if one is named."""
        from fluent_plugin_amp.config.access import find_access

        if self._access is None:  # once: standard input gives a key once
            self._access = find_access(self._given(), os.environ)
        return self._access

    @contextlib.asynccontextmanager
    async def http(self, ca_file: str | None, connections: int = 8) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client as the options ask for."""
        from fluent_plugin_amp.cisco.transport import http_client

        opened = http_client(ca_file=ca_file, proxy=self._proxy, timeout_s=self._timeout_s, connections=connections)
        async with contextlib.AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(opened)
            except ValueError as exc:
                raise UsageError(str(exc)) from exc
            yield client

    def api(self, cloud: Cloud, key: ApiKey, http: httpx.AsyncClient, wait: Wait | None = None) -> CiscoApi:
        """An API client that waits as the options allow."""
        from fluent_plugin_amp.cisco.api import CiscoApi

        return CiscoApi(cloud, key, http, wait=wait or self.screen.wait, max_wait_s=self._max_wait_s)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine to its end."""
        import asyncio

        async def go() -> T:
            return await work()

        return asyncio.run(go())

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

        Raises click.Abort when not, Interrupted after Ctrl-C, UsageError when nobody can be asked.
        """
        if yes:
            return
        try:
            click.confirm(question, err=True, abort=True)
        except click.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise Interrupted("interrupted") from None
            if self.can_ask:
                raise
            raise UsageError("nobody agreed", remedy="Where nobody can be asked, give --yes.") from None

    def conclude(self, command: Callable[[], int]) -> int:
        """The exit code of a command; what went wrong is shown."""
        debug = bool(click.get_current_context().find_root().params.get("debug"))
        try:
            return command()
        except PluginError as error:
            self.screen.error(error, debug=debug)
            return error.exit_code
        except click.Abort:
            self.screen.note("nothing was done")
            return EXIT_NO
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            interrupted = Interrupted("interrupted")
            self.screen.error(interrupted, debug=False)
            return interrupted.exit_code
        except Unprintable as exc:
            if exc.reader_left:  # as `head` does: it has what it wanted
                return EXIT_OK
            closed = OutputClosed(str(exc), remedy="Send the output elsewhere, and run the command again.")
            self.screen.error(closed, debug=debug)
            return closed.exit_code
        except Exception as exc:
            self.screen.bug(exc, debug=debug)
            return EXIT_BUG
