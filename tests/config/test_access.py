"""Which cloud and which key: options, environment, configuration, in this order."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fluent_plugin_amp.cisco.regions import CLOUDS, Cloud
from fluent_plugin_amp.config.access import Access, Given, find_access
from fluent_plugin_amp.errors import ConfigError, UsageError
from fluent_plugin_amp.files import MAX_SECRET_BYTES

KEY = "hunter2hunter2"
ENVIRON = {"AMP_CLIENT_ID": "env-id", "AMP_API_KEY": "env-key", "AMP_REGION": "eu"}


def found(access: Access) -> tuple[str | None, str, str]:
    """Cloud, client id and key."""
    return (access.cloud.name if access.cloud else None, access.key.client_id, access.key.api_key)


def test_the_environment_is_enough() -> None:
    """Three variables name a cloud and a key to it; without a region there is a key only."""
    assert found(find_access(Given(), ENVIRON)) == ("eu", "env-id", "env-key")
    assert find_access(Given(), {**ENVIRON, "AMP_REGION": ""}).cloud is None


def test_options_go_before_the_environment(tmp_path: Path) -> None:
    """Each on its own."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    given = Given(region="us", client_id="id", api_key_file=str(tmp_path / "key"))
    assert found(find_access(given, ENVIRON)) == ("us", "id", KEY)
    assert found(find_access(Given(client_id="id"), ENVIRON)) == ("eu", "id", "env-key")


@pytest.mark.parametrize("host", ["amp.example.com:8443", "https://amp.example.com:8443/"])
def test_a_host_goes_before_a_region(host: str) -> None:
    """AMP_API_HOST is a name or a whole URL; a ca_file is that cloud's."""
    cloud = find_access(Given(ca_file="/ca.pem"), {**ENVIRON, "AMP_API_HOST": host}).cloud
    assert cloud == Cloud(
        "amp.example.com:8443", "https://amp.example.com:8443", "amp.example.com", "amp.example.com", "/ca.pem"
    )
    assert find_access(Given(api_host=host), ENVIRON).cloud is not None


def test_the_key_may_be_in_a_file_of_the_environment(tmp_path: Path) -> None:
    """AMP_API_KEY_FILE, where AMP_API_KEY is not set."""
    (tmp_path / "key").write_text(KEY)
    environ = {"AMP_CLIENT_ID": "id", "AMP_API_KEY_FILE": str(tmp_path / "key")}
    assert found(find_access(Given(), environ))[2] == KEY
    assert found(find_access(Given(), {**environ, "AMP_API_KEY": "other"}))[2] == "other"


def test_the_key_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a password manager: ``--api-key-file -``."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    assert found(find_access(Given(api_key_file="-"), ENVIRON))[2] == KEY


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "the client id and the API key of the Cisco cloud: not given"),
        ({"AMP_CLIENT_ID": "id"}, "^the API key of"),
        ({"AMP_API_KEY": KEY}, "^the client id of"),
        ({**ENVIRON, "AMP_API_KEY": f"{KEY} x"}, "the API key is empty, or holds white space"),
        ({**ENVIRON, "AMP_REGION": "emea"}, "'emea' is neither a region"),
        ({**ENVIRON, "AMP_API_HOST": "http://amp.example.com"}, "in the clear"),
        ({**ENVIRON, "AMP_API_KEY": "", "AMP_API_KEY_FILE": "/no/such"}, "/no/such cannot be read: No such file"),
    ],
)
def test_what_is_missing_or_wrong_is_said(environ: Mapping[str, str], said: str) -> None:
    """With what to set, and without the key."""
    with pytest.raises(UsageError, match=said) as caught:
        find_access(Given(), environ)
    assert KEY not in str(caught.value)
    assert caught.value.remedy


def test_a_key_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Unquoted."""
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="it is not plain text"):
        find_access(Given(api_key_file=str(tmp_path / "key")), ENVIRON)


def test_two_clouds_are_one_too_many() -> None:
    """A region and a host contradict each other."""
    with pytest.raises(UsageError, match="name two clouds"):
        find_access(Given(region="eu", api_host="amp.example.com"), ENVIRON)


# --- from the configuration ----------------------------------------------------------------------

CONFIG = """
streams:
  - name: emea
    event_stream_name: SIEM
    cloud: eu
    api: {client_id: "${WHO}", api_key_file: keys/emea}
  - name: private
    cloud: {api: "amp.example.com:8443", console: console.example.com, ca_file: ca.pem}
    api: {client_id: private-id, api_key: "${HUNTER}"}
  - name: plain
forward: [unfinished
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose streams have ``api:``."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "emea").write_text(KEY)
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.replace("[unfinished", "5"))
    return path


def test_a_streams_api_is_used(config: Path) -> None:
    """Variables are replaced, files are beside the configuration; what else is wrong in the file does not matter."""
    access = find_access(Given(config_file=config, stream="emea"), {"WHO": "emea-id"})
    assert found(access) == ("eu", "emea-id", KEY)
    assert access.cloud == CLOUDS["eu"]
    access = find_access(Given(config_file=config, stream="private"), {"HUNTER": KEY})
    assert access.key.api_key == KEY
    assert access.cloud == Cloud(
        "amp.example.com:8443",
        "https://amp.example.com:8443",
        "amp.example.com",
        "console.example.com",
        str(config.parent / "ca.pem"),
    )


def test_options_go_before_the_configuration(config: Path) -> None:
    """And the environment too."""
    given = Given(region="us", client_id="id", config_file=config, stream="emea")
    assert found(find_access(given, {"WHO": "x", "AMP_API_KEY": "env-key"})) == ("us", "id", "env-key")


def test_two_client_ids_are_one_too_many(config: Path) -> None:
    """A variable of the last case, and the configuration that is meant now; an option goes before both."""
    given = Given(config_file=config, stream="private")
    environ = {"AMP_CLIENT_ID": "env-id", "HUNTER": KEY}
    with pytest.raises(UsageError, match=r"which organisation\? AMP_CLIENT_ID is not the client id of .*config\.yml"):
        find_access(given, environ)
    assert find_access(replace(given, client_id="id"), environ).key.client_id == "id"
    assert find_access(given, {**environ, "AMP_CLIENT_ID": "private-id"}).key.client_id == "private-id"


@pytest.mark.parametrize(
    ("environ", "variables"),
    [
        ({"AMP_CLIENT_ID": "private-id", "AMP_API_HOST": "amp.example.com:8443"}, ()),
        ({"AMP_API_KEY": "env-key", "AMP_REGION": "eu"}, ("AMP_API_KEY", "AMP_REGION")),
        ({"AMP_API_KEY_FILE": "keys/emea", "AMP_API_HOST": "amp.example.org"}, ("AMP_API_KEY_FILE", "AMP_API_HOST")),
    ],
)
def test_what_goes_before_a_configuration_is_told(
    config: Path, monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], variables: tuple[str, ...]
) -> None:
    """By the names of the variables; what says the same goes before nothing, and an option is the user's own."""
    monkeypatch.chdir(config.parent)
    given = Given(config_file=config, stream="private")
    assert find_access(given, {"HUNTER": KEY, **environ}).variables == variables
    given = replace(given, api_key_file="keys/emea", region="us")
    assert find_access(given, {"HUNTER": KEY, **environ}).variables == ()
    assert find_access(replace(given, config_file=None), {**ENVIRON, **environ}).variables == ()


def test_the_ca_of_the_broker_is_the_streams_own(config: Path) -> None:
    """`tls.ca_file` beside the configuration; without it that of the cloud; an option goes before both."""
    given, environ, folder = Given(config_file=config, stream="private"), {"HUNTER": KEY}, config.parent
    assert find_access(given, environ).broker_ca_file == str(folder / "ca.pem")
    config.write_text(config.read_text().replace("name: private", "name: private\n    tls: {ca_file: broker.pem}"))
    access = find_access(given, environ)
    assert access.broker_ca_file == str(folder / "broker.pem")
    assert access.cloud is not None
    assert access.cloud.ca_file == str(folder / "ca.pem")
    assert find_access(replace(given, ca_file="/other.pem"), environ).broker_ca_file == "/other.pem"
    config.write_text(config.read_text().replace("{ca_file: broker.pem}", "{ca_file: 5}"))
    assert find_access(given, environ).broker_ca_file == str(folder / "ca.pem")


def test_what_a_configuration_does_not_say_is_told_as_well(config: Path) -> None:
    """It is named, but has neither cloud nor key."""
    access = find_access(Given(config_file=config, stream="plain"), ENVIRON)
    assert access.variables == ("AMP_CLIENT_ID", "AMP_API_KEY", "AMP_REGION")


@pytest.mark.parametrize("form", ["- {stream}", "{stream}", "streams: [{stream}]"])
def test_an_included_file_will_do(tmp_path: Path, form: str) -> None:
    """One stream, a list of them, or streams: with a list; the only one with api: needs no name."""
    path = tmp_path / "stream.yml"
    path.write_text(form.replace("{stream}", "{name: a, cloud: us, api: {client_id: id, api_key: k}}"))
    assert found(find_access(Given(config_file=path), {})) == ("us", "id", "k")


def test_a_stream_of_an_included_file_is_found(config: Path) -> None:
    """By its name, or as the only one with ``api:``; its files are beside the file that holds it."""
    folder = config.parent / "streams.d"
    folder.mkdir()
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "a.yml").write_text("{name: a, cloud: us, api: {client_id: id, api_key_file: key}, password: '${NO}'}")
    config.write_text(f"include: '${{WHERE}}/*.yml'\n{CONFIG.replace('[unfinished', '5')}")
    environ = {"WHERE": "streams.d"}
    assert found(find_access(Given(config_file=config, stream="a"), environ)) == ("us", "id", KEY)
    config.write_text("include: ${WHERE}/*.yml")
    assert found(find_access(Given(config_file=config), environ)) == ("us", "id", KEY)
    (folder / "b.yml").write_text("- {")
    with pytest.raises(ConfigError, match=r"streams\.d/b\.yml:1: not YAML"):
        find_access(Given(config_file=config), environ)


def test_null_says_nothing(tmp_path: Path) -> None:
    """As everywhere in the configuration."""
    path = tmp_path / "config.yml"
    path.write_text("include: null\nstreams: [{name: a, cloud: {console: null}, api: {client_id: id, api_key: k}}]")
    assert found(find_access(Given(config_file=path), {"AMP_CLIENT_ID": ""})) == (None, "id", "k")


def test_the_configurations_key_file_is_read_only_where_it_is_needed(config: Path) -> None:
    """A key of the environment goes before it; where there is none, the mistake has its place."""
    (config.parent / "keys" / "emea").unlink()
    given = Given(config_file=config, stream="emea")
    assert found(find_access(given, {"WHO": "id", "AMP_API_KEY": "env-key"})) == ("eu", "id", "env-key")
    with pytest.raises(ConfigError, match=r"config\.yml:6: streams\[0\]\.api\.api_key_file: .*cannot be read"):
        find_access(given, {"WHO": "id"})


def test_standard_input_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file would be: what never ends is no key."""
    stdin = io.StringIO("k" * (MAX_SECRET_BYTES + 9))
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(UsageError, match="standard input holds no API key: it is larger than 64 KiB"):
        find_access(Given(api_key_file="-"), ENVIRON)
    assert stdin.tell() == MAX_SECRET_BYTES + 1


@pytest.mark.parametrize(
    ("text", "stream", "said"),
    [
        (CONFIG, "emea", "mistake in the configuration"),
        (CONFIG.replace("[unfinished", "5"), None, r"has 2 streams with api:"),
        (CONFIG.replace("[unfinished", "5"), "nobody", r"has no streams named 'nobody'"),
        (CONFIG.replace("[unfinished", "5"), "emea", "the environment variable WHO is not set"),
        ("5", None, "has no streams with api:"),
        (
            "{name: a, cloud: emea, api: {client_id: i, api_key: k}}",
            None,
            "cloud: must be us, eu, apjc, or a mapping",
        ),
    ],
)
def test_mistakes_of_the_configuration_are_its_own(tmp_path: Path, text: str, stream: str | None, said: str) -> None:
    """Exit code 78, with the file's name."""
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        find_access(Given(config_file=path, stream=stream), {"HUNTER": KEY})
    assert "config.yml" in str(caught.value)


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no text."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        find_access(Given(config_file=tmp_path / "no.yml"), {})
    (tmp_path / "bin.yml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        find_access(Given(config_file=tmp_path / "bin.yml"), {})
