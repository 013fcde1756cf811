"""Headless Chromium as a person's eyes: what is visible on a page, with scripts turned off.

Spoken to over a pair of pipes in the Chrome DevTools Protocol, one JSON object after the other, each ended by a zero
byte; no other package is needed for that.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from fluent_plugin_amp.testing.waiting import DEADLINE_S

if TYPE_CHECKING:
    from typing_extensions import Self

CHROMIUM = shutil.which("chromium")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--no-proxy-server", "--remote-debugging-pipe"),
)
# The browser reads commands from its descriptor 3 and writes to 4.
_WITH_PIPES = """
import os, sys
commands, answers, *browser = sys.argv[1:]
os.dup2(int(commands), 3)
os.dup2(int(answers), 4)
os.execv(browser[0], browser)
"""


@dataclass
class Seen:
    """What one visit showed."""

    title: str
    text: str
    """What is visible, as a person would copy it."""
    requests: list[str] = field(default_factory=list)
    """Every URL that was asked for."""
    complaints: list[str] = field(default_factory=list)
    """What the browser logged: blocked styles, for instance."""
    overflows: bool = False
    """The page is wider than the window."""


class Browser:
    """One Chromium with one page, gone at the end of the block.  Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._session: str | None = None
        self._buffer = b""
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        commands_out, self._commands = os.pipe()
        self._answers, answers_in = os.pipe()
        # far away from 3 and 4, which are about to be overwritten
        passed = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (commands_out, answers_in)]
        arguments = [CHROMIUM, *_OPTIONS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, *map(str, passed), *arguments],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (commands_out, answers_in, *passed):
            os.close(fd)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setScriptExecutionDisabled", value=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def visit(
        self, url: str, *, scheme: Literal["light", "dark"] = "light", width: int = 1000, height: int = 740
    ) -> Seen:
        """Load a page and look at it."""
        self._load("about:blank")  # where the last page does not fetch itself again
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._load(url)
        return Seen(
            title=self._evaluate("document.title"),
            text=self._evaluate("document.body.innerText"),
            requests=[
                e["params"]["request"]["url"] for e in self._events if e["method"] == "Network.requestWillBeSent"
            ],
            complaints=[e["params"]["entry"]["text"] for e in self._events if e["method"] == "Log.entryAdded"],
            overflows=self._evaluate("document.documentElement.scrollWidth > window.innerWidth"),
        )

    def colour_of(self, selector: str) -> str:
        """The background of an element, as ``rgb(…)``."""
        colour: str = self._evaluate(f"getComputedStyle(document.querySelector({selector!r})).backgroundColor")
        return colour

    def screenshot(self, path: Path) -> None:
        """Keep what is in the window as PNG."""
        data = self._call("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"]
        path.write_bytes(base64.b64decode(data))

    def _load(self, url: str) -> None:
        self._events.clear()
        self._call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._read()

    def _evaluate(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        """The next message; events are kept as well."""
        deadline = time.monotonic() + DEADLINE_S
        while b"\0" not in self._buffer:
            left_s = deadline - time.monotonic()
            readable, _, _ = select.select([self._answers], [], [], max(0.0, left_s))
            assert readable, "Chromium does not answer"
            data = os.read(self._answers, 1 << 16)
            assert data, "Chromium ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
        return message
