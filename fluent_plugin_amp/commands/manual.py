"""Man pages and shell completion of all programs, made from their commands.

``python -m fluent_plugin_amp.commands.manual FOLDER`` writes them, each file where its reader looks for it below
``/usr/share``.  A page has all commands of its program.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from fluent_plugin_amp import __version__
from fluent_plugin_amp.amp_respond.cli import cli as amp_respond
from fluent_plugin_amp.amp_streams.cli import cli as amp_streams
from fluent_plugin_amp.commands.cli import cli as fluent_plugin_amp

PROGRAMS: Mapping[str, click.Group] = {
    "fluent-plugin-amp": fluent_plugin_amp,
    "amp-streams": amp_streams,
    "amp-respond": amp_respond,
}


def files() -> dict[str, str]:
    """The text of each file, by its place below ``/usr/share``."""
    found = {}
    for name, program in PROGRAMS.items():
        found[f"man/man1/{name}.1"] = man_page(name, program)
        # click's own scripts: the shell asks the program itself what may follow, at each TAB.
        for path, shell in (
            (f"bash-completion/completions/{name}", BashComplete),
            (f"zsh/site-functions/_{name}", ZshComplete),
            (f"fish/vendor_completions.d/{name}.fish", FishComplete),
        ):
            script = shell(program, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper())
            # Not its `source()`, which runs the bash of this machine to learn its version.
            found[path] = script.source_template % script.source_vars()
    return {path: f"{text.strip()}\n" for path, text in found.items()}


def man_page(name: str, program: click.Group) -> str:
    """The page of a program, in the language of man pages (groff_man(7))."""
    context = click.Context(program, info_name=name, **program.context_settings)
    summary, *more = _paragraphs(program.help)
    others = (f"\\fB{_escape(other)}\\fP(1)" for other in PROGRAMS if other != name)
    lines = [
        f'.TH "{name.upper()}" 1 "" "{name} {__version__}"',
        *(".SH NAME", f"{_escape(name)} \\- {_escape(summary.rstrip('.'))}"),
        *(".SH SYNOPSIS", *_usage(context)),
        *(".SH DESCRIPTION", *_body([summary, *more])),
        *(".SH OPTIONS", *_options(context, with_help=True)),
        *(".SH COMMANDS", *_commands(context)),
        *(".SH NOTES", *_body(_paragraphs(program.epilog))),
        *(".SH SEE ALSO", *others),
    ]
    return "\n".join(lines)


def _commands(parent: click.Context) -> Iterator[str]:
    """A piece for each command below, in the order of ``--help``."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(parent):
        command = group.commands[name]
        if command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        yield f'.SS "{_escape(context.command_path)}"'
        yield from _usage(context)
        yield ".PP"
        yield from _body(_paragraphs(command.help))
        yield from _options(context, with_help=False)
        if isinstance(command, click.Group):
            yield from _commands(context)


def _usage(context: click.Context) -> Iterator[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    yield f"\\fB{_escape(context.command_path)}\\fP {_escape(pieces)}"


def _options(context: click.Context, *, with_help: bool) -> Iterator[str]:
    shown = context.command.get_params(context) if with_help else context.command.params
    for option in shown:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            names, text = record
            yield from (".TP", f"\\fB{_escape(names)}\\fP", _escape(text))


def _paragraphs(text: str | None) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text)) if text else []


def _body(paragraphs: list[str]) -> Iterator[str]:
    """Paragraphs as click means them: one that begins with a backspace keeps its lines."""
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", _escape(paragraph.removeprefix("\b").strip("\n")), ".fi")
        else:
            yield _escape(" ".join(paragraph.split()))


def _escape(text: str) -> str:
    """Text that means itself: a hyphen is one that can be copied, and no line begins a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def main(folder: Path) -> None:
    """Write all files below a folder."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
