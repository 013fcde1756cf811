"""The files of conf/ that need no Forward server: devo.yml and the systemd unit."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.config import load
from tests.servers import CONF, need, shipped

UNIT = CONF / "fluent-plugin-amp.service"


def unit() -> configparser.SectionProxy:
    """The [Service] section; of a key that stands there twice, the last line."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_devo_yml() -> None:
    """It loads as it is, and says what Devo's own collectors do."""
    config = load(CONF / "devo.yml", {"AMP_STREAM_PASSWORD": "secret"})
    transform = config.streams[0].transform
    assert transform.flatten is not None
    assert (transform.flatten.separator, transform.flatten.lists, transform.flatten.depth) == ("_", "keep", None)
    assert transform.pulling_id
    assert config.streams[0].tag == "edr.cisco.amp.events"


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say."""
    need("systemd-analyze")
    file = tmp_path / UNIT.name
    file.write_text(shipped(UNIT.name, {"/opt/fluent-plugin-amp/bin/fluent-plugin-amp": sys.executable}))
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr.replace("\n", "")) == (0, "")


def test_the_unit_is_hardened() -> None:
    """systemd's own rating of the sandbox is 1.5 of 10 at most."""
    need("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized option" in result.stderr:
        pytest.skip("not run: needs systemd 250 or later for an offline rating")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_unit_gives_what_the_plugin_uses() -> None:
    """It is told of readiness and life, waits longer than a stop takes, and does not repeat a wrong configuration."""
    service = unit()
    assert (service["Type"], service["Restart"]) == ("notify", "always")
    assert service["ExecReload"] == "/bin/sh -c 'kill -HUP ${MAINPID}'"  # /bin/kill is not in every image
    assert int(service["WatchdogSec"]) >= 30
    assert set(service["RestartPreventExitStatus"].split()) == {"2", "78"}
    default = load(CONF / "minimal.yml", {"AMP_STREAM_PASSWORD": "secret"})
    assert int(service["TimeoutStopSec"]) > default.forward.shutdown_timeout


@pytest.mark.parametrize("in_service", [True, False])
def test_a_secret_by_load_credential(in_service: bool, tmp_path: Path) -> None:
    """One line of configuration finds the secret, in the service and in a shell; the unit asks for none by itself."""
    assert "LoadCredential" not in unit()
    commented = re.search(r"(?m)^#LoadCredential=(\S+):(\S+)/\1$", UNIT.read_text())
    assert commented is not None
    name, folder = commented.groups()
    setting = f"password_file: ${{CREDENTIALS_DIRECTORY:-{folder}}}/{name}"
    assert f"#   {setting}\n" in UNIT.read_text()
    (tmp_path / name).write_text("secret\n")
    (tmp_path / name).chmod(0o400)
    text = (CONF / "minimal.yml").read_text().replace("password: ${AMP_STREAM_PASSWORD}", setting)
    config = tmp_path / "config.yml"
    config.write_text(text if in_service else text.replace(folder, str(tmp_path)))
    loaded = load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)} if in_service else {})
    assert loaded.streams[0].password.get_secret_value() == "secret"
    assert loaded.warnings == ()
