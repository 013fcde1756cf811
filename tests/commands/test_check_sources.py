"""`check` asks each polled source for a page, with the organisation's key and on its way."""

from __future__ import annotations

import time

from fluent_plugin_amp.commands.check import Row, check
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation

STREAM = {"url": "amqp://127.0.0.1:9", "username": "u", "password": "p", "queue": "q", "name": "s"}


async def source_row(config: Config) -> Row:
    """What `check` says of the only source."""
    (row,) = [row for row in await check(config) if row.kind == "source"]
    return row


def configured(cloud: LocalCloud, certificates: Certificates, organisation: Organisation, source: str) -> Config:
    """An organisation with one source."""
    section = {
        "name": "acme",
        "cloud": {"api": cloud.url, "ca_file": str(certificates.ca_file)},
        "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
        "proxy": "direct",
        source: {},
    }
    return Config.model_validate({"streams": [STREAM], "organisations": [section]})


async def test_the_search_of_hunts_is_tried(certificates: Certificates) -> None:
    """For a hash that no file has."""
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        organisation = cloud.add_organisation()
        organisation.responses.add_computer("desk-014")
        row = await source_row(configured(cloud, certificates, organisation, "hunts"))
        assert (row.ok, row.name) == (True, "acme/hunts")
        assert row.result == "searches what computers have seen, 2999 requests left in this hour"


async def test_a_source_is_asked_for_a_page(certificates: Certificates) -> None:
    """How many entries there are, and what is left of the rate limit; a key that is refused has its remedy."""
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        organisation = cloud.add_organisation()
        organisation.audit_log.add(int(time.time()) - 5, item="x")
        config = configured(cloud, certificates, organisation, "audit_logs")
        row = await source_row(config)
        assert (row.ok, row.name, row.peer) == (True, "acme/audit_logs", cloud.url)
        assert row.result == "1 entry in the last hour, 2999 requests left in this hour"
        organisation.audit_log.entries.clear()
        assert (await source_row(config)).result.startswith("no entry in the last hour")
        organisation.api_key = "another"
        assert (await source_row(config)).error_id == "cloud.credentials-refused"


async def test_each_source_is_tried(certificates: Certificates) -> None:
    """How many there are of what it polls; `names` alone reads the computers."""
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        organisation = cloud.add_organisation()
        organisation.inventory.add_computers(3)
        section = {
            "name": "acme",
            "cloud": {"api": cloud.url, "ca_file": str(certificates.ca_file)},
            "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
            "proxy": "direct",
        }
        for keys, name, result in (
            ({"computers": {}}, "acme/computers", "3 computers, "),
            ({"names": True}, "acme/names", "3 computers, "),
            ({"vulnerabilities": {}}, "acme/vulnerabilities", "0 vulnerable programs, "),
        ):
            config = Config.model_validate(
                {"streams": [STREAM], "state": {"path": "/s"}, "organisations": [section | keys]}
            )
            row = await source_row(config)
            assert (row.ok, row.name, row.result[: len(result)]) == (True, name, result)
        cloud.fail(Failure(path="/v1/computers", status=200, body=b'{"data":[]}'))
        unknown = Config.model_validate({"streams": [STREAM], "organisations": [section | {"computers": {}}]})
        assert (await source_row(unknown)).result.startswith("an unknown number of computers")


async def test_one_thing_is_one() -> None:
    """And completeness has a row: of which streams there are records, and whether they have an HMAC."""
    with LocalCloud() as cloud:
        organisation = cloud.add_organisation()
        organisation.inventory.add_computers(1)
        section = {
            "name": "acme",
            "cloud": {"api": cloud.url},
            "api": {"client_id": organisation.client_id, "api_key": organisation.api_key},
            "proxy": "direct",
            "computers": {},
        }
        proved = {**STREAM, "organisation": "acme", "api": section["api"], "cloud": section["cloud"]}
        keys = {"streams": [proved, {**STREAM, "name": "t"}], "state": {"path": "/s"}, "organisations": [section]}
        config = Config.model_validate({**keys, "completeness": {}})
        assert (await source_row(config)).result.startswith("1 computer, ")
        (row,) = [row for row in await check(config) if row.kind == "completeness"]
        assert row.ok
        assert (
            row.result == "records of 1 of 2 streams (those that have `api`), no key: anybody could write them anew"
        )
        config = Config.model_validate({**keys, "completeness": {"key": "k"}})
        (row,) = [row for row in await check(config) if row.kind == "completeness"]
        assert row.result.endswith("with an HMAC")
        assert not [row for row in await check(config, streams=config.streams[:1]) if row.kind == "completeness"]
