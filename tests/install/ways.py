"""The ways to install the plugin, each as the headings of docs/install.md in the order in which a user reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delivered:
    """More events have happened: each of them arrives, once."""


@dataclass(frozen=True)
class Does:
    """What the page has in a sentence, or what only a test asks for; it must end well."""

    script: str


DELIVERED = Delivered()
REMEMBERED = Does("fluent-plugin-amp state show | grep -Ew 'siem +100'")
"""The state file is the one of before the upgrade: it knows the first events only."""
STOP, START = (Does(f"systemctl {verb} fluent-plugin-amp") for verb in ("stop", "start"))
ONCE = "runuser -u fluent-plugin-amp -- fluent-plugin-amp run --once"


@dataclass(frozen=True)
class Way:
    """Steps, and what they need."""

    name: str
    steps: tuple[str | tuple[str, int] | Delivered | Does, ...]
    """A heading: its blocks; a heading and a number: one of them."""
    needs: tuple[str, ...] = ()
    """Commands that must end well on the machine before."""
    root: bool = True
    deliver: str = "true"
    """Delivers what waits, or starts what does, where no service does."""
    end: str = "true"
    """After all has arrived."""
    port: int = 24224
    """Where the receiver listens that the page takes for granted."""
    shows: str = ""
    """Prints the events that have arrived, as JSON, where none come to the receiver."""


HAS_SYSTEMD = "test -d /run/systemd/system"
HAS_PACKAGE = "ls dist/*.deb"
HAS_FLUENTD = ("command -v fluentd", "id -u _fluentd")


def fluentd(file: str) -> str:
    """Fluentd in the background, under its own user; `FLUENTD_ENDS` ends it."""
    command = f"runuser -u _fluentd -- fluentd -c /etc/fluent-plugin-amp/{file}"
    return f"{command} >fluentd.log 2>&1 & echo $! >fluentd.pid"


FLUENTD_ENDS = "kill $(cat fluentd.pid); tail --pid=$(cat fluentd.pid) --follow /dev/null"

WAYS = (
    Way(
        "Debian package",
        (
            *("Debian package", DELIVERED),
            *("Upgrade the package", Does("dpkg-query -W fluent-plugin-amp | grep -F 0.2.0"), DELIVERED),
            *(
                "Roll the package back",
                Does("dpkg-query -W fluent-plugin-amp | grep -F 0.1.0"),
                REMEMBERED,
                DELIVERED,
            ),
            Does("man -w fluent-plugin-amp amp-streams"),
            ("Remove the package", 0),
            Does("test -e /var/lib/private/fluent-plugin-amp/state.db -a -e /etc/fluent-plugin-amp/stream.yml"),
            Does("! systemctl is-active fluent-plugin-amp; ! test -e /usr/lib/fluent-plugin-amp"),
            ("Remove the package", 1),
        ),
        needs=(HAS_SYSTEMD, HAS_PACKAGE),
    ),
    Way(
        "into /opt, systemd",
        (
            *("Into /opt", "As a systemd service", DELIVERED),
            *(STOP, "Upgrade", Does("fluent-plugin-amp --version | grep -F 0.2.0"), START, DELIVERED),
            *(STOP, "Roll back", Does("fluent-plugin-amp --version | grep -F 0.1.0"), REMEMBERED, START, DELIVERED),
            "Uninstall",
        ),
        needs=(HAS_SYSTEMD,),
    ),
    Way(
        "into /opt, a user of its own",
        (
            *("Into /opt", "Man pages and completion", Does("man -w fluent-plugin-amp amp-streams")),
            *("Under a user of its own", DELIVERED),
            *("Upgrade", Does("fluent-plugin-amp --version | grep -F 0.2.0"), DELIVERED),
            *("Roll back", Does("fluent-plugin-amp --version | grep -F 0.1.0"), REMEMBERED, DELIVERED),
            "Uninstall",
        ),
        deliver=ONCE,
    ),
    Way(
        "into /opt, started by Fluentd",
        ("Into /opt", "Started by Fluentd", DELIVERED, "Uninstall"),
        needs=HAS_FLUENTD,
        deliver=fluentd("fluentd-supervised.conf"),
        end=FLUENTD_ENDS,
        port=24225,
    ),
    Way(
        "into /opt, Fluentd reads a pipe",
        ("Into /opt", "Fluentd reads a pipe", DELIVERED, "Uninstall"),
        needs=HAS_FLUENTD,
        deliver=fluentd("fluentd-exec.conf"),
        end=FLUENTD_ENDS,
        shows="cat fluentd.log",
    ),
    Way(
        "pipx",
        (
            *("With pipx", DELIVERED),
            *("Upgrade with pipx", Does("fluent-plugin-amp --version | grep -F 0.2.0"), DELIVERED),
            "Uninstall with pipx",
        ),
        needs=("command -v pipx",),
        root=False,
        deliver="fluent-plugin-amp run -c amp/config.yml --once",
    ),
)

NOT_RUN = {
    "Build": "`make dist` and `make deb` are run before",
}
"""Headings with commands that are in no way, and why."""

LEFT_BEHIND = (
    *(f"{folder}/fluent-plugin-amp" for folder in ("/opt", "/etc", "/var/lib", "/var/lib/private", "/usr/lib")),
    *("/var/lib/fluent-plugin-amp.before", "/etc/systemd/system/fluent-plugin-amp.service"),
    *(f"{folder}/fluent-plugin-amp" for folder in ("/usr/local/bin", "/usr/bin")),
)
"""What is on no clean machine: neither before a way nor after it."""
