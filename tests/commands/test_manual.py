"""Man pages and shell completion: they say what the commands say, and the files in share/ are theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fluent_plugin_amp.commands.manual import PROGRAMS, files, man_page

SHARE = Path(__file__).parents[2] / "share"


def commands_of(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Of all depths, each with how it is called."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands_of(f"{path} {name}", command)


def test_share_is_up_to_date() -> None:
    """`make docs` would change nothing."""
    written = {str(path.relative_to(SHARE)): path.read_text("utf-8") for path in SHARE.rglob("*") if path.is_file()}
    assert written == files(), "run `make docs`"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_has_every_command_and_option(name: str) -> None:
    """Nothing that a program can do is missing on its page."""
    page = man_page(name, PROGRAMS[name]).replace("\\-", "-")
    for path, command in commands_of(name, PROGRAMS[name]):
        _, title, piece = page.partition(f'.SS "{path}"\n')
        assert title
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(spelled in piece.partition("\n.S")[0] for spelled in option.opts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_man_has_nothing_against_it(name: str) -> None:
    """The page reader of this machine formats it without a warning."""
    if shutil.which("man") is None:
        pytest.skip("needs man")
    command = ["man", "--warnings", "--local-file", str(SHARE / f"man/man1/{name}.1")]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "SEE ALSO" in done.stdout


def test_text_means_itself() -> None:
    """A dot at the start of a line is no request, a backslash no escape, and examples keep their lines."""

    @click.group()
    def program() -> None:
        """Do it.

        .TH is said here, and C:\\new.

        \b
        Example:
          one
          'two'
        """

    page = man_page("x", program)
    assert "\n\\&.TH is said here, and C:\\enew.\n" in page
    assert "\n.nf\nExample:\n  one\n  'two'\n.fi\n" in page


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fluent-plugin-amp che", "check"),
        ("fluent-plugin-amp check --end", "--end-to-end"),
        ("amp-streams rot", "rotate"),
    ],
)
def test_bash_completes(words: str, offered: str) -> None:
    """A real bash with the script from share/ offers what the program would take."""
    program = words.split()[0]
    script = f"""
        source {SHARE}/bash-completion/completions/{program}
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _{program.replace("-", "_")}_completion {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env={"PATH": path}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [offered]
