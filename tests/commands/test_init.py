"""`fluent-plugin-amp init`: what it writes is taken by those it is for, and nothing is ever overwritten."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from fluent_plugin_amp.cisco.credentials import StreamCredentials, render
from fluent_plugin_amp.commands import init as job
from fluent_plugin_amp.commands.cli import cli
from fluent_plugin_amp.config import Config, load
from fluent_plugin_amp.errors import EXIT_OK, EXIT_USAGE, UsageError
from tests.servers import need, need_kustomize

STREAM = StreamCredentials(
    "SIEM EU",
    6,
    "eu",
    "amqps://export-streaming.eu.amp.cisco.com:443",
    "6-0123",
    "a-secret-of-cisco",
    "event_stream_6",
)
MOUNTED = "/run/secrets/amp-stream/stream.yml"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """A file as `amp-streams create --save` writes it."""
    path = tmp_path / "siem.yml"
    path.write_text(render(STREAM, "yaml"))
    return path


def init(folder: Path, *arguments: str | Path, typed: str = "") -> Result:
    """The command, with nobody at a terminal."""
    return CliRunner().invoke(cli, ["init", *map(str, arguments), str(folder)], input=typed)


def options(way: str, credentials: Path) -> list[str | Path]:
    """All that a way needs."""
    devo = ["--devo", "collector-eu.devo.io:8443"] if job.WAYS[way].takes_devo else []
    return ["--for", way, "--credentials", credentials, *devo]


def loaded(way: str, folder: Path, credentials: Path) -> Config:
    """The configuration as the plugin reads it, the stream's file where this way brings it."""
    if way == "kubernetes":
        secret = yaml.safe_load((folder / "stream.secret.yml").read_text())
        credentials = folder / "stream.yml"
        credentials.write_text(secret["stringData"]["stream.yml"])
    path = folder / "config.yml"
    path.write_text(path.read_text().replace(MOUNTED, str(credentials)))
    return load(path, {})


@pytest.mark.parametrize("way", job.WAYS)
def test_the_plugin_takes_what_is_written(way: str, credentials: Path, tmp_path: Path) -> None:
    """For each way the configuration loads, with the stream's credentials and a state file."""
    folder = tmp_path / "new/amp"
    result = init(folder, *options(way, credentials))
    assert result.exit_code == EXIT_OK, result.stderr
    config = loaded(way, folder, credentials)
    assert [(stream.name, stream.queue) for stream in config.streams] == [("SIEM EU", "event_stream_6")]
    assert config.state.path is not None


@pytest.mark.parametrize("way", job.WAYS)
def test_an_editor_finds_the_schema(way: str, credentials: Path, tmp_path: Path) -> None:
    """The file that the configuration's first line names is written beside it."""
    init(tmp_path, *options(way, credentials))
    first = (tmp_path / "config.yml").read_text().partition("\n")[0]
    if way == "kubernetes":  # the file becomes a ConfigMap
        assert "$schema=" not in first
        assert not (tmp_path / job.SCHEMA).exists()
    else:
        schema = json.loads((tmp_path / first.partition("$schema=")[2]).read_text())
        assert schema["title"] == "fluent-plugin-amp configuration"


@pytest.mark.parametrize("way", job.WAYS)
def test_it_says_what_it_wrote_and_what_comes_next(way: str, credentials: Path, tmp_path: Path) -> None:
    """Each file by its path, and two commands; no place is left to fill in."""
    folder = tmp_path / "amp"
    wrote, _, after = init(folder, *options(way, credentials)).stdout.partition("next:\n")
    assert {Path(line.removeprefix("wrote ")) for line in wrote.splitlines()} == set(folder.iterdir())
    assert len(after.splitlines()) == 2
    assert "{" not in after


@pytest.mark.parametrize("way", job.WAYS)
def test_the_password_is_for_its_owner_only(way: str, credentials: Path, tmp_path: Path) -> None:
    """It stays in the file that holds it already; only the Secret of Kubernetes is a copy."""
    folder = tmp_path / "amp"
    init(folder, *options(way, credentials))
    copies = [path for path in folder.iterdir() if STREAM.password in path.read_text()]
    assert [path.name for path in copies] == (["stream.secret.yml"] if way == "kubernetes" else [])
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in copies)


@pytest.mark.parametrize("way", job.WAYS)
def test_nothing_is_overwritten(way: str, credentials: Path, tmp_path: Path) -> None:
    """One of the files is there: it stays as it is, and none of the others is written."""
    first = tmp_path / "first"
    init(first, *options(way, credentials))
    last = max(first.iterdir()).name
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / last).write_text("precious")
    result = init(folder, *options(way, credentials))
    assert result.exit_code == EXIT_USAGE
    assert result.stderr.startswith(f"error [init.not-written]: {folder / last}: exists already\n  what to do: ")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(last, "precious")]


def test_a_failure_half_way_leaves_nothing(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before a file that cannot be, is taken away again."""
    monkeypatch.setattr(os.path, "lexists", lambda _: False)  # as for a file that comes into being meanwhile
    folder = tmp_path / "amp"
    folder.mkdir()
    (folder / "fluent-bit.yaml").write_text("precious")
    result = init(folder, *options("fluent-bit", credentials))
    assert result.exit_code == EXIT_USAGE
    assert "error [init.not-written]: " in result.stderr
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("fluent-bit.yaml", "precious")]


@pytest.mark.parametrize("missing", ["--for", "--credentials", "--devo"])
def test_without_a_terminal_nobody_is_asked(missing: str, credentials: Path, tmp_path: Path) -> None:
    """What is missing is named, and nothing is written."""
    arguments = options("fluentd", credentials)
    at = arguments.index(missing)
    result = init(tmp_path / "amp", *arguments[:at], *arguments[at + 2 :])
    assert result.exit_code == EXIT_USAGE
    assert f"error [usage]: {missing} is missing\n" in result.stderr
    assert not (tmp_path / "amp").exists()


class Terminal:
    """Somebody who can be asked."""

    @staticmethod
    def isatty() -> bool:
        """Yes."""
        return True


def test_on_a_terminal_what_is_missing_is_asked_for(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way, the credentials and Devo's address, one after the other."""
    answers = iter(["fluent-bit", str(credentials), "collector-eu.devo.io"])
    monkeypatch.setattr("sys.stdin", Terminal)
    monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
    way, found = job.ask(tmp_path / "amp", None, None, None, None, None)
    assert way is job.WAYS["fluent-bit"]
    assert (found.credentials, found.devo) == (STREAM, job.Address("collector-eu.devo.io", 443))


def test_a_question_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ends the input at a question is told what is missing, as without a terminal."""
    monkeypatch.setattr("sys.stdin", Terminal)

    def end_of_input(*_: object, **__: object) -> str:
        try:
            raise EOFError
        except EOFError:
            raise click.Abort from None

    monkeypatch.setattr("click.prompt", end_of_input)
    with pytest.raises(UsageError, match="--credentials is missing"):
        job.ask(tmp_path / "amp", "systemd", None, None, None, None)


def test_the_addresses_are_those_that_were_given(credentials: Path, tmp_path: Path) -> None:
    """The server listens where the plugin sends to, and sends on to Devo."""
    init(tmp_path / "a", *options("fluent-bit", credentials), "--host", "10.0.0.7", "--port", "5170")
    config = loaded("fluent-bit", tmp_path / "a", credentials)
    assert [(server.host, server.port) for server in config.forward.servers] == [("10.0.0.7", 5170)]
    pipeline = yaml.safe_load((tmp_path / "a/fluent-bit.yaml").read_text())["pipeline"]
    assert (pipeline["inputs"][0]["listen"], pipeline["inputs"][0]["port"]) == ("10.0.0.7", 5170)
    assert (pipeline["outputs"][0]["host"], pipeline["outputs"][0]["port"]) == ("collector-eu.devo.io", 8443)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--for", "docker"], "--for 'docker' is no way to run the plugin"),
        (["--for", "systemd", "--devo", "a"], "no file of --for systemd takes --devo"),
        (["--for", "kubernetes", "--port", "1"], "no file of --for kubernetes takes --port"),
        (["--for", "systemd", "--host", "a b"], "--host 'a b' is no host"),
        (["--for", "compose", "--devo", "a:0"], "'a:0' is no address"),
        (["--for", "compose", "--devo", "a\n  x: y"], "'a\\n  x: y' is no address"),
    ],
)
def test_what_no_file_can_take(arguments: list[str], what: str, credentials: Path, tmp_path: Path) -> None:
    """An answer that would be ignored, or would say something else in a file, is refused."""
    result = init(tmp_path / "amp", *arguments, "--credentials", credentials)
    assert result.exit_code == EXIT_USAGE
    assert result.stderr.startswith(f"error [usage]: {what}\n")
    assert not (tmp_path / "amp").exists()


@pytest.mark.parametrize("name", ["a b", "a%n", "${HOME}", "a:b", "a;b"])
def test_a_folder_whose_name_means_something(name: str, credentials: Path, tmp_path: Path) -> None:
    """A unit, a command line or a volume would read it otherwise: it is refused."""
    result = init(tmp_path / name, *options("systemd", credentials))
    assert result.exit_code == EXIT_USAGE
    assert "holds a character with a meaning of its own" in result.stderr


def test_credentials_that_are_none(tmp_path: Path) -> None:
    """What to do is said in the words of this command."""
    result = init(tmp_path / "amp", *options("systemd", tmp_path / "missing.yml"))
    assert result.exit_code == EXIT_USAGE
    assert "error [credentials.file-unusable]: " in result.stderr
    assert "Give --credentials the file" in result.stderr


@pytest.mark.parametrize("name", ["fluentd.conf", "fluentd-supervised.conf", "fluent-bit.yaml"])
def test_the_server_takes_what_is_written(name: str, credentials: Path, tmp_path: Path) -> None:
    """`--dry-run` of the real server has nothing to say against its file."""
    program = name.partition(".")[0].removesuffix("-supervised")
    need(program)
    way = "supervised" if "supervised" in name else "fluentd"
    init(tmp_path / "amp", *options(way, credentials))
    command = [program, "--dry-run", "-c", str(tmp_path / "amp" / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_containers_find_what_they_mount(credentials: Path, tmp_path: Path) -> None:
    """Each file of this machine that compose.yml names is there; only Devo's certificates are the user's to bring."""
    init(tmp_path / "amp", *options("compose", credentials))
    compose = yaml.safe_load((tmp_path / "amp/compose.yml").read_text())
    mounted = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    assert str(credentials) in mounted
    missing = [path for path in mounted if "/" in path and not (tmp_path / "amp" / path).exists()]
    assert missing == ["./devo"]


def test_kubectl_takes_what_is_written(credentials: Path, tmp_path: Path) -> None:
    """`kubectl kustomize` joins the files: the pod's Secret is among them, and the way to Devo is open."""
    need_kustomize()
    init(tmp_path / "amp", *options("kubernetes", credentials))
    command = ["kubectl", "kustomize", str(tmp_path / "amp")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
    volumes = found["StatefulSet"]["spec"]["template"]["spec"]["volumes"]
    assert found["Secret"]["metadata"]["name"] in [volume.get("secret", {}).get("secretName") for volume in volumes]
    open_ports = [port["port"] for rule in found["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]]
    assert 8443 in open_ports
    assert "port: 8443" in found["ConfigMap"]["data"]["fluent-bit.yaml"]


def test_systemd_takes_what_is_written(credentials: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say, the program's path included."""
    need("systemd-analyze")
    init(tmp_path / "amp", *options("systemd", credentials))
    unit = tmp_path / "amp/fluent-plugin-amp.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\nLoadCredential=siem.yml:{credentials}\n" in unit.read_text()


def test_the_service_reads_what_systemd_hands_over(credentials: Path, tmp_path: Path) -> None:
    """Its own user may not read the file that root keeps: it takes the one in $CREDENTIALS_DIRECTORY."""
    init(tmp_path / "amp", *options("systemd", credentials))
    (tmp_path / "handed").mkdir()
    credentials.rename(tmp_path / "handed/siem.yml")
    config = load(tmp_path / "amp/config.yml", {"CREDENTIALS_DIRECTORY": str(tmp_path / "handed")})
    assert [stream.name for stream in config.streams] == ["SIEM EU"]
