"""An Erlang node as a child process, with a console on its standard input: what `PrivateRabbitMQ` runs on.

Two things make such a node safe to start from a test or a demo:

* It lives on our pipe.  The console halts the node at the end of its input, so the node ends with us, however
  we end (SIGKILL included).
* It needs no epmd, the daemon by which Erlang nodes find each other: the node is given its port, and is told
  never to start one.  So nothing outlives the node.

The console evaluates an Erlang expression a line and answers with one line, within milliseconds, where a
command like ``rabbitmqctl`` first boots a node of its own.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from fluent_plugin_amp.testing.waiting import DEADLINE_S

_MARK = "@@"
_ENVIRONMENT = {
    "ERL_ZFLAGS": "-start_epmd false",
    "ERL_CRASH_DUMP_SECONDS": "0",
}
# Answers are `@@ ok TERM`, `@@ error TERM` and once, before the first of them, `@@ ready NODE`; ~0p prints
# any term as a single line.  AWAIT_READY is evaluated first.
_CONSOLE = r"""
Answer = fun(Word, Term) -> io:format("~n@@ ~s ~0p~n", [Word, Term]) end,
Evaluate = fun(Line) ->
    {ok, Tokens, _} = erl_scan:string(Line),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Term, _} = erl_eval:exprs(Expressions, []),
    Term
end,
Serve = fun Again() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            try Answer("ok", Evaluate(Line)) catch _:Reason -> Answer("error", Reason) end,
            Again();
        _ ->
            erlang:halt(0, [{flush, false}])
    end
end,
spawn(fun() -> AWAIT_READY, Answer("ready", node()), Serve() end).
"""


class NodeError(Exception):
    """The node did not start, ended unexpectedly, did not answer in time, or an expression failed."""


class ErlangNode:
    """One node: ``start``, ``evaluate``, then ``stop`` or ``kill``; it may be started again.

    ``command`` is what finally executes ``erl`` in its own process and passes on further arguments; it is run
    in ``folder``.  ``await_ready`` is an Erlang expression that returns when the node can be used.  Methods
    are synchronous; from asyncio call them through ``asyncio.to_thread``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        port: int,
        folder: Path,
        environment: Mapping[str, str],
        await_ready: str,
    ) -> None:
        self._command = [
            *command,
            *("-sname", name, "-erl_epmd_port", str(port)),
            *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
            # Busy waiting and a second scheduler would only take time from who is being tested.
            *("-noshell", "+B", "i", "+S", "1:1"),
            *("-eval", _CONSOLE.replace("AWAIT_READY", await_ready)),
        ]
        self._folder = folder
        self._environment = {**environment, **_ENVIRONMENT}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._output: deque[str] = deque(maxlen=40)
        self._turn = threading.Lock()

    @property
    def running(self) -> bool:
        """The process is there, ready or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the Erlang virtual machine itself."""
        return self._require_process().pid

    @property
    def output(self) -> str:
        """The last lines that the node printed."""
        return "\n".join(self._output)

    def start(self, timeout_s: float) -> None:
        """Start the node and wait until it is ready; on any failure nothing is left running."""
        if self.running:
            raise NodeError("the node is running already")
        self._answers = queue.SimpleQueue()
        self._output.clear()
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._kill_at_exit = weakref.finalize(self, _kill, self._process)
        assert self._process.stdout is not None
        threading.Thread(target=_read, args=(self._process.stdout, self._answers, self._output), daemon=True).start()
        try:
            self._next_answer(timeout_s)
        except BaseException:
            self.kill()
            raise

    def evaluate(self, expression: str, timeout_s: float = DEADLINE_S) -> str:
        """Evaluate an Erlang expression (ASCII, no comments) and return its value as Erlang prints it.

        Raises NodeError when it fails, or takes longer than ``timeout_s``; after the latter the node is killed,
        because its next answer would be taken for another question's.
        """
        with self._turn:
            pipe = self._require_process().stdin
            assert pipe is not None
            try:
                pipe.write(" ".join(expression.split()).rstrip(".") + ".\n")
                pipe.flush()
            except OSError as exc:
                raise NodeError(f"the node has ended\n{self.output}") from exc
            try:
                word, _, term = self._next_answer(timeout_s).partition(" ")
            except NodeError:
                self.kill()
                raise
        if word == "error":
            raise NodeError(f"{expression.strip()} failed: {term}")
        return term

    def signal(self, number: int) -> None:
        """Send a signal to the virtual machine."""
        self._require_process().send_signal(number)

    def stop(self, timeout_s: float = DEADLINE_S) -> None:
        """End the console's input, on which the node halts; kill it if that takes longer than ``timeout_s``."""
        process = self._require_process()
        assert process.stdin is not None
        try:
            process.stdin.close()
            process.wait(timeout_s)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone.  Nothing to do when it does not run."""
        if self._process is not None:
            self._kill_at_exit()

    def _require_process(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            raise NodeError("the node is not running")
        return self._process

    def _next_answer(self, timeout_s: float) -> str:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise NodeError(f"no answer from the node within {timeout_s:g} s\n{self.output}") from None
        if answer is None:
            raise NodeError(f"the node has ended\n{self.output}")
        return answer


def clean_environment(**added: str) -> dict[str, str]:
    """Our own environment without what would configure another Erlang node or RabbitMQ, plus ``added``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ERL_", "RABBITMQ_"))}
    return {**inherited, **added}


def erlang_binary(text: str) -> str:
    """``text`` as an Erlang binary in UTF-8, safe within an expression whatever it holds."""
    return f"<<{','.join(map(str, text.encode()))}>>"


def _read(pipe: IO[str], answers: queue.SimpleQueue[str | None], output: deque[str]) -> None:
    with pipe:
        for line in pipe:
            if line.startswith(_MARK):
                answers.put(line[len(_MARK) :].strip())
            elif line.strip():
                output.append(line.rstrip())
    answers.put(None)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None and not process.stdin.closed:
        with contextlib.suppress(OSError):
            process.stdin.close()
