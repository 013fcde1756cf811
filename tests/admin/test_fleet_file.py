"""FLEET.yml, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from fluent_plugin_amp.admin.errors import FleetInvalid
from fluent_plugin_amp.admin.fleet_file import read_fleet
from fluent_plugin_amp.admin.tenants import Tenant, WantedStream, label_of
from fluent_plugin_amp.cisco.regions import CLOUDS

SECRET = "hunter2hunter2"


class Read(Protocol):
    """Reads a fleet file."""

    def __call__(self, text: str, **environ: str) -> tuple[Tenant, ...]:
        """The tenants of a file with this text, with these variables in the environment."""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Beside the file, the file `key` holds `SECRET`, and `binary` no text."""
    (tmp_path / "key").write_text(SECRET + "\n")
    (tmp_path / "binary").write_bytes(b"\xff")

    def read_text(text: str, **environ: str) -> tuple[Tenant, ...]:
        (tmp_path / "FLEET.yml").write_text(text)
        return read_fleet(tmp_path / "FLEET.yml", environ)

    return read_text


def test_a_fleet_with_everything(read: Read) -> None:
    """Defaults are inherited, replaced by a tenant's or a stream's own; `config:` is merged and left as it is."""
    acme, zurich = read(
        """
        defaults:
          region: eu
          event_types: [Threat Detected, 553648143]
          config: {tag: edr.cisco.amp.events, add: {plan: "${GOLD}"}}
          streams:
            - name: SIEM
        tenants:
          - name: Acme Corp
            client_id: acme-id
            api_key: ${ACME_KEY}
          - name: Zürich
            api_host: amp.zurich.example:8443
            ca_file: /etc/zurich.pem
            client_id: ${ZURICH_ID:-zurich-id}
            api_key_file: key
            streams:
              - name: SIEM
                event_types: all
                groups: [Protect]
                config: {tag: zurich.amp.events}
              - name: Lab 日本
        """,
        ACME_KEY=SECRET,
    )
    gold = {"add": {"plan": "${GOLD}"}}
    assert acme.cloud is not None
    assert acme.cloud.as_setting() == CLOUDS["eu"].as_setting()
    assert (acme.label, acme.key.client_id, acme.key.api_key) == ("acme-corp", "acme-id", SECRET)
    assert acme.streams == (
        WantedStream(
            "SIEM",
            "acme-corp-siem",
            ("Threat Detected", "553648143"),
            None,
            {"tag": "edr.cisco.amp.events", **gold},
        ),
    )
    assert zurich.cloud.as_setting() == {
        "api": "https://amp.zurich.example:8443",
        "console": "amp.zurich.example",
        "ca_file": "/etc/zurich.pem",
    }
    assert (zurich.key.client_id, zurich.key.api_key) == ("zurich-id", SECRET)
    siem, lab = zurich.streams
    assert (siem.event_types, siem.groups, siem.config) == (
        None,
        ("Protect",),
        {"tag": "zurich.amp.events", **gold},
    )
    assert lab.event_types == ("Threat Detected", "553648143")
    assert siem.label.startswith("zurich-")
    assert siem.label != lab.label


def fleet(tenant: str = "", defaults: str = "region: us", more: str = "") -> str:
    """A fleet file with one tenant that is as good as ``tenant`` lets it be."""
    return f"""\
defaults:
  {defaults}
tenants:
  - name: acme
    client_id: id
    api_key: {SECRET}
    streams: [{{name: SIEM}}]
    {tenant}
{more}
"""


GOOD = "  - {name: b, client_id: id2, api_key: k, streams: []}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FLEET.yml:1: must be a mapping"),
        ("[]", "FLEET.yml:1: must be a mapping"),
        ("tenants: [", "not YAML"),
        ("tenants: []", "tenants: must not be empty"),
        ("tenants: [5]", r"tenants\[0\]: must be a mapping"),
        ("defaults: 5\ntenants: []", "defaults: must be a mapping"),
        (fleet(more="tenant: 5"), "tenant: unknown key; did you mean `tenants`"),
        (fleet("event-types: all"), r"FLEET.yml:8: tenants\[0\].event-types: .* did you mean `event_types`"),
        (fleet("zzz: 1"), r"tenants\[0\].zzz: unknown key$"),
        (fleet("name: twice"), "given twice"),
        (fleet("region: emea"), r"tenants\[0\].region: 'emea' is neither a region"),
        (fleet(defaults="region: emea"), r"FLEET.yml:2: defaults.region: 'emea' is neither"),
        (fleet(defaults="ca_file: x"), "give either region"),
        (fleet("region: us\n    api_host: amp.example.com"), "give either region"),
        (fleet("api_host: http://amp.example.com"), "in the clear"),
        (
            fleet("api_key_file: keys/acme"),
            r"\[0\].api_key_file: given together with `api_key`: use only one",
        ),
        (
            fleet().replace(f"api_key: {SECRET}", "api_key_file: missing"),
            "_file: the file cannot be read: No such",
        ),
        (fleet().replace(f"api_key: {SECRET}", "api_key_file: binary"), "api_key_file: the file is not UTF-8"),
        (fleet().replace(SECRET, "${NOWHERE}"), r"tenants\[0\].api_key: the environment variable NOWHERE is not"),
        (fleet().replace(SECRET, f'"{SECRET} x"'), "the API key is empty, or holds white space"),
        (fleet().replace("client_id: id", "client_id: 5"), "client_id: must be a text"),
        (fleet().replace("client_id: id", ""), "client_id: missing"),
        (fleet().replace("name: acme", 'name: " "'), r"tenants\[0\].name: must not be empty"),
        (fleet().replace(f"api_key: {SECRET}", ""), "api_key: missing; give it here or as `api_key_file`"),
        (fleet().replace("streams: [{name: SIEM}]", ""), r"tenants\[0\].streams: missing"),
        (fleet().replace("[{name: SIEM}]", "5"), "streams: must be a list"),
        (fleet().replace("[{name: SIEM}]", "[5]"), r"tenants\[0\].streams\[0\]: must be a mapping"),
        (fleet().replace("{name: SIEM}", "{}"), "name: missing"),
        (fleet().replace("{name: SIEM}", "{name: SIEM}, {name: siem}"), "`siem` is too much like another"),
        (fleet().replace("{name: SIEM}", ",".join(f"{{name: s{n}}}" for n in range(6))), "5 event streams"),
        (fleet().replace("SIEM}", "SIEM, groups: Protect}"), "groups: must be `all`, or a list"),
        (fleet("event_types: [all, Threat Detected]"), "event_types: `all` stands alone"),
        (fleet().replace("SIEM}", "SIEM, groups: [ALL, Audit]}"), "groups: `all` stands alone"),
        (fleet().replace("SIEM}", "SIEM, groups: []}"), "groups: must be `all`, or a list"),
        (fleet().replace("SIEM}", "SIEM, event_types: [1.5]}"), r"event_types\[0\]: must be a name or an id"),
        (fleet("config: 5"), "config: must be a mapping"),
        (fleet(more=GOOD.replace("name: b", "name: Acme")), "`acme` and `Acme` are the same, or too much alike"),
        (fleet(more=GOOD.replace("id2", "id")), "`acme` and `b` have the same client_id"),
    ],
)
def test_mistakes_are_named_with_their_line(read: Read, text: str, said: str) -> None:
    """What is wrong, where, and no secret."""
    with pytest.raises(FleetInvalid, match=said) as caught:
        read(text)
    assert SECRET not in str(caught.value)
    assert "mistake" in str(caught.value)


@pytest.mark.parametrize("value", ["all", "ALL", "[all]", "[ All ]", "~"])
def test_all_means_all(read: Read, value: str) -> None:
    """However it is written; never a name's beginning."""
    (tenant,) = read(fleet(f"event_types: {value}").replace("SIEM}", f"SIEM, groups: {value}}}"))
    assert (tenant.streams[0].event_types, tenant.streams[0].groups) == (None, None)


def test_all_mistakes_are_reported_at_once(read: Read) -> None:
    """Each tenant's, and one in the defaults only once."""
    text = "defaults: {region: emea, groups: 5, streams: [{}], zone: 1}\ntenants:\n" + "".join(
        f"  - {{name: t{n}, client_id: id{n}}}\n" for n in range(3)
    )
    with pytest.raises(FleetInvalid) as caught:
        read(text)
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 mistakes in the fleet:"
    assert [line.split(": ")[1] for line in lines[1:]] == [
        "defaults.groups",
        "defaults.region",
        "defaults.streams[0].name",
        "defaults.zone",
        *(f"tenants[{n}].api_key" for n in range(3)),
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [("acme", "acme"), ("Acme Corp", "acme-corp"), ("Acme_Corp", "acme-corp")],
)
def test_a_plain_name_is_its_own_label(name: str, label: str) -> None:
    """Case, spaces and underscores are all that changes."""
    assert label_of(name) == label


def test_names_that_lose_letters_stay_apart() -> None:
    """A hash tells them apart, the same in every run."""
    labels = {label_of(name) for name in ("日本", "中国", "Zürich", "Zurich", "a/b", "a b", "a" * 60, "a" * 61)}
    assert len(labels) == 8
    assert label_of("日本") == label_of("日本")
