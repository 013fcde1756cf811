"""What is built for users: the source archive, the wheel made from it, and the program without a checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipapp
import zipfile
from pathlib import Path

import pytest

from fluent_plugin_amp import __version__
from fluent_plugin_amp.testing.waiting import DEADLINE_S

ROOT = Path(__file__).parent.parent
PACKAGE = "fluent_plugin_amp"

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    left_out = shutil.ignore_patterns(
        ".*_cache", ".venv*", ".git", ".hypothesis", "node_modules", "__pycache__", "*.egg-info"
    )
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=left_out)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=folder / "checkout")
    return folder


@pytest.fixture(scope="module")
def program(dist: Path) -> Path:
    """``fluent-plugin-amp``, installed from the wheel; its dependencies are those of the tests."""
    folder = dist / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    [wheel] = dist.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", folder, "install", "--no-deps", "--no-index", wheel, cwd=dist)
    return folder / "bin/fluent-plugin-amp"


def files_of(folder: Path) -> set[str]:
    """The files below a folder of the checkout, named as in it."""
    return {
        str(path.relative_to(ROOT))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_the_files_to_run_it_with(dist: Path) -> None:
    """conf/, examples/, man pages and completion reach a user without a checkout, as they are; no tests, no docs."""
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in files_of(ROOT / "conf") | files_of(ROOT / "examples"):
            assert archive.read(f"{PACKAGE}/{name}") == (ROOT / name).read_bytes()
        for name in files_of(ROOT / "share"):
            [place] = (place for place in archive.namelist() if place.endswith(f".data/data/{name}"))
            assert archive.read(place) == (ROOT / name).read_bytes()
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top.partition("-")[0] for top in tops} == {PACKAGE}


def test_the_source_archive_is_whole(dist: Path) -> None:
    """Who has the source archive can build, read and test: nothing of the checkout is missing in it."""
    [archive] = dist.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    for folder in ("conf", "debian", "docs", "examples", "share"):
        assert files_of(ROOT / folder) <= names
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/*.py")} <= names
    assert {"Makefile", "Dockerfile", "README.md", "LICENSE", "setup.cfg", "pyproject.toml"} <= names
    assert not [name for name in names if "node_modules" in name or name.endswith(".pyc")]


def test_the_debian_package_has_the_same_version() -> None:
    """The changelog that Debian's tools take it from says what the program says."""
    newest = (ROOT / "debian/changelog").read_text("utf-8").partition("\n")[0]
    assert newest.startswith(f"fluent-plugin-amp ({__version__}) ")


def test_it_runs_from_an_empty_folder(program: Path, tmp_path: Path) -> None:
    """The installed program is the wheel's, not the checkout's, and needs nothing of the checkout."""
    where = run(program.with_name("python"), "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(program.parent.parent)
    assert "version" in run(program, "--version", cwd=tmp_path)
    assert "properties" in run(program, "schema", cwd=tmp_path)


CREDENTIALS = """{"name": "emea", "id": 6, "cloud": "eu", "url": "amqps://export-streaming.eu.amp.cisco.com:443",
"username": "6-0123", "password": "secret", "queue": "event_stream_6"}"""


def test_it_writes_a_configuration_and_reads_it(program: Path, tmp_path: Path) -> None:
    """From an empty folder and the wheel alone: `init` writes the files, and what it wrote is a configuration."""
    (tmp_path / "emea.json").write_text(CREDENTIALS)
    devo = ["--devo", "collector-eu.devo.io"]
    run(program, "init", "--for", "fluent-bit", "--credentials", "emea.json", *devo, "amp", cwd=tmp_path)
    written = {path.name for path in (tmp_path / "amp").iterdir()}
    assert written == {"config.yml", "fluent-bit.yaml", "fluent-plugin-amp.schema.json"}
    (tmp_path / "events.ndjson").write_text('{"id": 1, "event_type": "Threat Detected"}')
    printed = run(program, "replay", "-c", "amp/config.yml", "--stdout", "json", "events.ndjson", cwd=tmp_path)
    assert "@devo_pulling_id" in printed


def test_it_runs_from_a_zip_file(dist: Path, tmp_path: Path) -> None:
    """One file can hold the program: it reads its own data through the importer, never as files beside itself."""
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "content")
    zipapp.create_archive(tmp_path / "content", tmp_path / "amp.pyz", main=f"{PACKAGE}.__main__:main")
    shutil.rmtree(tmp_path / "content")
    compiled = {"PYTHONPATH": sysconfig.get_path("purelib")}  # cannot be loaded from a zip file
    (tmp_path / "emea.json").write_text(CREDENTIALS)
    for way in ("systemd", "kubernetes"):
        devo = ["--devo", "collector-eu.devo.io"] if way == "kubernetes" else []
        init = ["init", "--for", way, "--credentials", "emea.json", *devo, way]
        run(sys.executable, "amp.pyz", *init, cwd=tmp_path, **compiled)
    (tmp_path / "events.ndjson").write_text('{"id": 1, "event_type": "Threat Detected", "event_type_id": 1090519054}')
    replay = ["replay", "-c", "systemd/config.yml", "--stdout", "json", "events.ndjson"]
    assert "@devo_pulling_id" in run(sys.executable, "amp.pyz", *replay, cwd=tmp_path, **compiled)
    script = (
        "from fluent_plugin_amp.cisco.event_types import catalogue; import fluent_plugin_amp.observe.page as page;"
        "catalogue(); print(page.__file__)"
    )
    where = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(tmp_path / "amp.pyz"))
    assert where.startswith(str(tmp_path / "amp.pyz"))


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that have this folder in their environment: it is everybody's TMPDIR or HOME."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_the_demo_runs_from_the_wheel(program: Path, tmp_path: Path) -> None:
    """What a newcomer sees first, who has no checkout, only the extra and RabbitMQ.

    Events, an audit log entry and a group's name are shown as they arrive; it ends, and leaves nothing behind.
    """
    temporary, path = tmp_path / "tmp", f"{program.parent}:{os.environ['PATH']}"
    temporary.mkdir()
    shown = run(program, "demo", "--events", "200", cwd=tmp_path, PATH=path, TMPDIR=str(temporary), COLUMNS="200")
    assert str(ROOT) not in shown
    lines = shown.splitlines()
    assert lines[-1] == "200 published, 200 delivered, 0 duplicated, 0 left in the queue"
    assert sum(line.startswith("  edr.cisco.amp.events: {") for line in lines) == 5
    assert sum(line.startswith("  edr.cisco.amp.audit_logs: {") for line in lines) == 1
    (names,) = [json.loads(line.removeprefix("  names: ")) for line in lines if line.startswith("  names: ")]
    assert (names["organisation"], len(names["groups"])) == ("acme", 1)
    deadline = time.monotonic() + DEADLINE_S
    while left := processes_of(temporary):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert list(temporary.iterdir()) == []


def test_the_source_archive_has_tests_that_collect(dist: Path, tmp_path: Path) -> None:
    """A packager can run them: the archive has each file that the tests import or read while they are collected."""
    [archive] = dist.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    quick = ("--collect-only", "-q", "--assert=plain")
    assert "tests collected" in run(sys.executable, "-m", "pytest", *quick, cwd=folder)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda page: page.name)
def test_no_page_installs_from_an_index(page: Path) -> None:
    """No index has the plugin: under its name there, somebody else's program could come to stand."""
    assert not re.search(r"(pip|pipx|gem) install '?fluent-plugin-amp", page.read_text("utf-8"))
