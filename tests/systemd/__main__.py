"""``python3 -m tests.systemd``: conf/fluent-plugin-amp.service under the systemd of this machine, as root.

Needs a systemd that runs as process 1 and a plugin in /opt/fluent-plugin-amp; without them it says so, and exits 1.
It needs nothing of Python but the standard library.  The unit runs under a name, a configuration folder and a state
folder of its own, which are removed afterwards, so that an installed service is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

NAME = "fluent-plugin-amp-try"
UNIT = Path(f"/etc/systemd/system/{NAME}.service")
DROP_IN = Path(f"/etc/systemd/system/{NAME}.service.d/try.conf")
FOLDER = Path(f"/etc/{NAME}")
CONFIG = FOLDER / "config.yml"
PLUGIN = Path("/opt/fluent-plugin-amp/bin/fluent-plugin-amp")
SHIPPED = Path(__file__).parents[2] / "conf/fluent-plugin-amp.service"
DEADLINE_S = 30.0
MOST_EXPOSED = 1.5
"""What `systemd-analyze security` may say of the unit, of 10."""

# A broker that is away: the service is ready all the same, and tries again.
GOOD = """\
streams:
  - {name: emea, url: "amqps://127.0.0.1:9", username: u, queue: q, password_file: "PASSWORD"}
forward: {servers: [{host: 127.0.0.1, port: 9}]}
state: {path: STATE/state.db}
observe: {listen: null}
"""


class Failed(Exception):
    """The service did not do what it should."""


def systemctl(*arguments: str) -> str:
    """What it prints; it may fail."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def show(*names: str) -> list[str]:
    """Properties of the unit."""
    return [systemctl("show", "--value", f"--property={name}", NAME) for name in names]


def until(what: str, happened: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        if time.monotonic() > deadline:
            raise Failed(f"not within {DEADLINE_S:.0f} s: {what}\n{journal()[-2000:]}\n{systemctl('status', NAME)}")
        time.sleep(0.1)


def journal() -> str:
    """What the service logged."""
    command = ["journalctl", "--no-pager", "--output=cat", f"--unit={NAME}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def logged(text: str, times: int = 1) -> None:
    """Wait for a text in the journal."""
    until(f"{text!r} in the journal", lambda: journal().count(text) >= times)


def is_up() -> bool:
    """Ready, with a process of its own."""
    state, pid = show("ActiveState", "MainPID")
    return state == "active" and int(pid) > 1


def main_pid() -> int:
    """Its process."""
    until("the service is up", is_up)
    return int(show("MainPID")[0])


def configure(text: str = GOOD, drop_in: str = "", mode: int = 0o644) -> None:
    """Write configuration and settings of the unit."""
    password = f"${{CREDENTIALS_DIRECTORY:-{FOLDER}}}/emea.password"
    CONFIG.write_text(text.replace("PASSWORD", password).replace("STATE", f"/var/lib/{NAME}"))
    CONFIG.chmod(mode)
    DROP_IN.write_text(f"[Service]\nRestartSec=200ms\n{drop_in}\n")
    systemctl("daemon-reload")
    systemctl("reset-failed", NAME)


WITH_SECRET = f"LoadCredential=emea.password:{FOLDER}/emea.password"


def start(text: str = GOOD, drop_in: str = WITH_SECRET) -> int:
    """Start anew; its process."""
    systemctl("stop", NAME)
    configure(text, drop_in)
    systemctl("start", NAME)
    return main_pid()


def ready() -> str:
    """A broker that is away keeps nothing from starting; the user is systemd's own, and root's secret is read."""
    pid = start()
    uid = os.stat(f"/proc/{pid}").st_uid
    if uid < 60000:
        raise Failed(f"it runs as user {uid}, not as one that systemd made")
    logged("stream emea: [amqp.")
    return f"ready as user {uid}, secret of mode 0600 read"


def killed() -> str:
    """`kill -9` brings another one."""
    before = start()
    os.kill(before, signal.SIGKILL)
    until("another process", lambda: is_up() and main_pid() != before)
    return "started again"


def hung() -> str:
    """A process that stands still is ended by the watchdog, and started again."""
    before = start(drop_in=f"{WITH_SECRET}\nWatchdogSec=2\nTimeoutAbortSec=2")
    os.kill(before, signal.SIGSTOP)
    until("another process", lambda: is_up() and main_pid() != before)
    return "watchdog (2 s for this try), started again"


def reloaded() -> str:
    """A reload takes the new configuration; a broken one changes nothing."""
    before = start()
    configure(GOOD.replace("emea,", "apjc,"), WITH_SECRET)
    systemctl("reload", NAME)
    logged("stream apjc: [amqp.")
    configure(GOOD.replace("streams", "strems"), WITH_SECRET)
    systemctl("reload", NAME)
    logged("strems")
    if main_pid() != before:
        raise Failed("a broken configuration restarted it")
    return "new stream runs; broken configuration refused, same process"


def not_restarted(text: str, mode: int, said: str) -> None:
    """Exit code 78 is final: only a person can mend it."""
    systemctl("stop", NAME)
    configure(text, WITH_SECRET, mode)
    systemctl("start", NAME)
    until("it failed", lambda: show("ActiveState", "SubState") == ["failed", "failed"])
    if (ended := show("ExecMainStatus", "NRestarts")) != ["78", "0"]:
        raise Failed(f"exit code and restarts: {ended}")
    logged(said)


def wrong() -> str:
    """A mistake in the configuration, or one that the service's user may not read."""
    not_restarted(GOOD.replace("streams", "strems"), 0o644, "[config.invalid]")
    not_restarted(GOOD, 0o600, "[config.unreadable]")
    return "78, not started again: a mistake, and a file of mode 0600"


def secret_missing() -> str:
    """Without LoadCredential the unit asks for no secret: the plugin itself says what is missing."""
    systemctl("stop", NAME)
    configure(drop_in="")
    systemctl("start", NAME)
    until("it failed", lambda: show("ActiveState", "SubState") == ["failed", "failed"])
    if show("ExecMainStatus") != ["78"]:
        raise Failed(f"exit code {show('ExecMainStatus')}")
    return "78 and the file's name, instead of 243 for ever"


def stopped() -> str:
    """`systemctl stop` ends it in order."""
    start()
    began = time.monotonic()
    systemctl("stop", NAME)
    if (ended := show("ExecMainStatus", "Result")) != ["0", "success"]:
        raise Failed(f"exit code and result: {ended}")
    return f"exit code 0 in {time.monotonic() - began:.1f} s"


def confined() -> str:
    """systemd's own rating of the sandbox."""
    command = ["systemd-analyze", "security", "--no-pager", NAME]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    if found is None or float(found[1]) > MOST_EXPOSED:
        raise Failed(said)
    return f"exposure {found[1]} of 10"


TRIES: dict[str, Callable[[], str]] = {
    "start with the broker away": ready,
    "kill -9": killed,
    "SIGSTOP": hung,
    "reload": reloaded,
    "wrong or unreadable configuration": wrong,
    "no LoadCredential, secret of root's": secret_missing,
    "stop": stopped,
    "sandbox": confined,
}


def prepare() -> None:
    """The unit, under a name of its own."""
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    DROP_IN.parent.mkdir(exist_ok=True)
    (FOLDER / "emea.password").write_text("secret\n")
    (FOLDER / "emea.password").chmod(0o600)
    text = SHIPPED.read_text().replace("/etc/fluent-plugin-amp/config.yml", str(CONFIG))
    folders = (
        r"(?m)^(StateDirectory|RuntimeDirectory|ConfigurationDirectory|WorkingDirectory)=(%S/)?fluent-plugin-amp$"
    )
    UNIT.write_text(re.sub(folders, rf"\1=\2{NAME}", text))


def clean_up() -> None:
    """Nothing stays."""
    systemctl("stop", NAME)
    for path in (UNIT, DROP_IN):
        path.unlink(missing_ok=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.rmtree(DROP_IN.parent, ignore_errors=True)
    shutil.rmtree(f"/var/lib/private/{NAME}", ignore_errors=True)
    Path(f"/var/lib/{NAME}").unlink(missing_ok=True)
    systemctl("daemon-reload")
    systemctl("reset-failed", NAME)


def main() -> int:
    """Run all; a table of what was seen."""
    missing = [
        what
        for what, is_there in {
            "root": os.geteuid() == 0,
            "systemd as process 1": Path("/run/systemd/system").is_dir(),
            f"a plugin in {PLUGIN.parents[1]}": PLUGIN.exists(),
        }.items()
        if not is_there
    ]
    if missing:
        print(f"not run: needs {', '.join(missing)}")
        return 1
    version = systemctl("--version").split("\n")[0]
    print(f"| trouble | {version} |\n|---|---|")
    failures = 0
    try:
        prepare()
        for name, attempt in TRIES.items():
            try:
                print(f"| {name} | {attempt()} |", flush=True)
            except Failed as error:
                failures += 1
                print(f"| {name} | **FAILED** |\n{error}", flush=True)
    finally:
        clean_up()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
