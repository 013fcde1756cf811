"""The REST client against the local cloud: what is repeated, what is not, and what is said."""

from __future__ import annotations

import base64
import json
import socket
import time
import traceback
from collections.abc import Iterator

import pytest

from fluent_plugin_amp.backoff import backoff_s
from fluent_plugin_amp.cisco import api as api_module
from fluent_plugin_amp.cisco import transport
from fluent_plugin_amp.cisco.answers import WORDS_READ
from fluent_plugin_amp.cisco.api import RETRIES, CiscoApi, CreationInDoubt, NotTaken, wait_silently
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerLost,
    CloudAnswerNotUnderstood,
    CloudCertificateRefused,
    CloudCredentialsRefused,
    CloudProxyFailed,
    CloudProxyRefused,
    CloudRateLimited,
    CloudReadOnlyKey,
    CloudRefused,
    CloudServerError,
    CloudUnreachable,
    CredentialsNotSaved,
    EventStreamNotFound,
)
from fluent_plugin_amp.cisco.regions import find_cloud
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.cloud import (
    Failure,
    LocalCloud,
    error_body,
    lost_answer,
    too_many_requests,
    web_page,
)
from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.ports import silent_address
from tests.cisco.helpers import Connect, Proxy, Waits

DETECTED = 1090519054
AUDIT = "b077d6bc-bbdf-42f7-8838-a06053fbd98a"


# --- what the cloud knows ------------------------------------------------------------------------


async def test_a_good_key_is_accepted(api: CiscoApi) -> None:
    """The version is read, and so is what is left of the rate limit."""
    assert await api.version() == "v1.2.0"
    assert api.rate_limit is not None
    assert (api.rate_limit.limit, api.rate_limit.remaining) == (3000, 2999)


async def test_the_whole_life_of_a_stream(api: CiscoApi) -> None:
    """Created with its password, listed and shown without it, changed, deleted, gone."""
    made = await api.create_event_stream("SIEM", event_types=[DETECTED], group_guids=[AUDIT])
    assert made.amqp is not None
    assert made.amqp.password is not None
    assert made.event_types == (DETECTED,)
    (listed,) = await api.event_streams()
    assert listed.amqp is not None
    assert listed.amqp.password is None
    assert listed == await api.event_stream(made.id)
    await api.update_event_stream(made.id, {"name": "SOC", "event_type": []})
    changed = await api.event_stream(made.id)
    assert (changed.name, changed.event_types, changed.group_guids) == ("SOC", None, (AUDIT,))
    await api.delete_event_stream(made.id)
    with pytest.raises(EventStreamNotFound, match="404: Not Found: Event stream not found"):
        await api.event_stream(made.id)


async def test_every_page_is_read(api: CiscoApi, organisation: Organisation) -> None:
    """1234 groups come in three pages, each group once."""
    organisation.groups = {f"guid-{n}": f"Branch {n}" for n in range(1234)}
    assert [group.id for group in await api.groups()] == list(organisation.groups)


async def test_events_come_in_pages_with_exact_ids(api: CiscoApi, cloud: LocalCloud) -> None:
    """Filters are passed on; 64-bit ids stay as they are; the last page is known as such."""
    wanted = [6533241145273614340 + n for n in range(700)]
    cloud.publish(json.dumps({"id": id_, "event_type_id": DETECTED}).encode() for id_ in wanted)
    cloud.publish([b'{"id": 1, "event_type_id": 5}'])
    filters = [("event_type[]", str(DETECTED))]
    pages = [await api.event_page(filters, offset=offset, limit=500) for offset in (0, 500)]
    assert [(len(page.events), page.total, page.is_last) for page in pages] == [(500, 700, False), (200, 700, True)]
    assert [json.loads(bytes(event))["id"] for page in pages for event in page.events] == wanted[::-1]


async def test_a_page_is_not_the_last_one_while_the_total_says_more(api: CiscoApi, cloud: LocalCloud) -> None:
    """Without a link to the next one, events would be left out, and nobody would know."""
    body = b'{"data": [{"id": 1}], "metadata": {"results": {"total": 3}}}'
    cloud.fail(Failure(status=200, body=body, times=2))
    assert [(await api.event_page([], offset=offset, limit=1)).is_last for offset in (0, 2)] == [False, True]


def page(items: list[object], **links: str) -> bytes:
    """The body of a page."""
    return json.dumps({"data": items, "metadata": {"links": links}}).encode()


async def test_pages_that_go_in_a_circle_are_refused(api: CiscoApi, cloud: LocalCloud) -> None:
    """A ``next`` that leads to a page already read is an error, not an endless loop."""
    cloud.fail(Failure(status=200, body=page([{"guid": "a"}], next="https://x/v1/groups?offset=1")))
    cloud.fail(Failure(status=200, body=page([{"guid": "b"}], next="https://x/v1/groups?limit=500")))
    with pytest.raises(CloudAnswerNotUnderstood, match="go round in a circle"):
        await api.groups()
    assert len(cloud.requests) == 2


async def test_a_page_that_repeats_is_refused(api: CiscoApi, cloud: LocalCloud) -> None:
    """The same content under ever new links is an error too."""
    for n in range(3):
        cloud.fail(Failure(status=200, body=page([{"guid": "a"}], next=f"https://x/v1/groups?offset={n}")))
    with pytest.raises(CloudAnswerNotUnderstood, match="the same page came twice"):
        await api.groups()
    assert len(cloud.requests) == 2


async def test_an_empty_page_is_the_last(api: CiscoApi, cloud: LocalCloud) -> None:
    """A ``next`` on an empty page leads nowhere."""
    cloud.fail(Failure(status=200, body=page([], next="https://x/v1/groups?offset=1")))
    assert await api.groups() == []


async def test_a_link_elsewhere_does_not_get_the_key(api: CiscoApi, cloud: LocalCloud) -> None:
    """Of ``next`` only the query is used: the next request goes to the same host and path."""
    cloud.fail(Failure(status=200, body=page([{"guid": "a"}], next="https://evil.example/steal?offset=1")))
    await api.groups()
    assert cloud.requests == [("GET", "/v1/groups")] * 2


async def test_a_redirect_is_not_followed(api: CiscoApi, cloud: LocalCloud) -> None:
    """The key does not follow a redirect to another host; where it leads is said."""
    cloud.fail(Failure(status=302, headers={"location": "https://portal.example/login"}))
    with pytest.raises(CloudAnswerNotUnderstood, match=r"a redirect to https://portal\.example/login"):
        await api.version()


@pytest.mark.parametrize(
    ("status", "may_write"),
    [(None, True), (404, True), (403, False), (401, False), (400, None), (500, None), (200, None)],
)
async def test_read_and_write_is_told_apart_without_changing_anything(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation, status: int | None, may_write: bool | None
) -> None:
    """A change to stream 0, which cannot exist, shows what the key may do; an unclear answer shows nothing."""
    await api.create_event_stream("SIEM")
    if status is not None:
        cloud.fail(Failure("PATCH", status=status, body=error_body(status, "x", "y")))
    assert await api.may_write() is may_write
    assert len(organisation.streams) == 1


async def test_a_cloud_that_hangs_up_tells_nothing_about_the_key(api: CiscoApi, cloud: LocalCloud) -> None:
    """Without an answer it is unknown whether the key may write."""
    cloud.fail(Failure("PATCH", silent=True))
    assert await api.may_write() is None


# --- refusals ------------------------------------------------------------------------------------


async def test_a_wrong_key_is_refused_at_once(connect: Connect, cloud: LocalCloud, waits: Waits) -> None:
    """401 is not repeated; the cloud's words and what to do are in the error."""
    organisation = cloud.add_organisation()
    organisation.api_key = "right"
    async with connect(organisation) as api:
        organisation.api_key = "changed"
        with pytest.raises(CloudCredentialsRefused, match="Unknown API key or Client ID") as caught:
            await api.version()
    assert "amp-streams test" in caught.value.remedy
    assert waits.seconds == []


async def test_a_read_only_key_cannot_create(connect: Connect, cloud: LocalCloud) -> None:
    """What a read-only key lacks is said, whether the cloud answers 403 or 401."""
    reader = cloud.add_organisation(read_only=True)
    async with connect(reader) as api:
        await api.version()
        with pytest.raises(CloudReadOnlyKey, match="POST /v1/event_streams was answered 403"):
            await api.create_event_stream("SIEM")
        cloud.fail(Failure("POST", status=401, body=error_body(401, "Unauthorized", "no")))
        with pytest.raises(CloudReadOnlyKey, match="401"):
            await api.create_event_stream("SIEM")


async def test_the_key_is_masked_where_the_cloud_echoes_it(
    api: CiscoApi, cloud: LocalCloud, organisation: Organisation
) -> None:
    """An error page that repeats the request's header shows neither key nor header."""
    key = organisation.api_key
    basic = base64.b64encode(f"{organisation.client_id}:{key}".encode()).decode()
    cloud.fail(Failure(status=400, body=f"bad header: Basic {basic} ({key})".encode()))
    with pytest.raises(CloudRefused, match=r"bad header: Basic \*\*\* \(\*\*\*\)") as caught:
        await api.version()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert key not in shown
    assert basic not in shown


async def test_of_a_long_refusal_only_its_beginning_is_looked_at(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for unlock codes in megabytes took seconds of the event loop; what is quoted is masked all the same."""
    looked_at: list[int] = []
    unlock_code = api_module._UNLOCK_CODE

    class Watched:
        def sub(self, mask: bytes, body: bytes) -> bytes:
            looked_at.append(len(body))
            return unlock_code.sub(mask, body)

    monkeypatch.setattr(api_module, "_UNLOCK_CODE", Watched())
    cloud.fail(Failure(status=400, body=b"unlock_code: a1b2c3 " + (b"unlock_code" + b" " * 30) * 25_000))
    with pytest.raises(CloudRefused, match=r"unlock_code: \*\*\* unlock_code"):
        await api.version()
    assert looked_at
    assert max(looked_at) <= WORDS_READ


async def test_no_cookie_is_kept(cloud: LocalCloud, organisation: Organisation) -> None:
    """A client is shared between organisations: the session of one is never sent with the key of another."""
    cloud.fail(Failure(works=True, status=200, body=b'{"data": {}}', headers={"set-cookie": "session=1; Path=/"}))
    async with http_client() as http:
        await CiscoApi(find_cloud(cloud.url), ApiKey("other", "key"), http).version()
        assert not list(http.cookies.jar)


async def test_html_instead_of_json_is_said_so(api: CiscoApi, cloud: LocalCloud) -> None:
    """A portal's page with status 200 is not taken for an answer."""
    cloud.fail(web_page())
    with pytest.raises(CloudAnswerNotUnderstood, match=r"GET /v1/version: the answer is a web page \(HTML\)"):
        await api.version()


async def test_an_answer_that_cannot_be_unpacked_is_not_understood(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """Broken gzip is said at once, without repeating."""
    cloud.fail(Failure(status=200, body=b"no gzip", headers={"content-encoding": "gzip"}))
    with pytest.raises(CloudAnswerNotUnderstood, match="cannot be unpacked"):
        await api.version()
    assert waits.seconds == []


async def test_an_answer_without_end_is_cut(
    api: CiscoApi, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, whatever a cloud (or what stands in for it) sends."""
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1000)
    with pytest.raises(CloudAnswerNotUnderstood, match="too large"):
        await api.event_types()


# --- repeating -----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Failure(times=RETRIES, status=503), Failure(times=RETRIES, silent=True)])
async def test_looking_is_repeated(api: CiscoApi, cloud: LocalCloud, waits: Waits, failure: Failure) -> None:
    """A GET survives 5xx and lost connections, with growing pauses in between."""
    failure.times = RETRIES
    cloud.fail(failure)
    assert await api.version() == "v1.2.0"
    assert len(cloud.requests) == RETRIES + 1
    for attempt, seconds in enumerate(waits.seconds, start=1):
        assert backoff_s(attempt, 1.0, cap_s=8.0) <= seconds <= backoff_s(attempt, 0.0, cap_s=8.0)


async def test_repeating_ends(api: CiscoApi, cloud: LocalCloud) -> None:
    """After the last try the cloud's words are reported."""
    cloud.fail(web_page(502, "Bad Gateway", times=100))
    with pytest.raises(CloudServerError, match="502: Bad Gateway"):
        await api.version()
    assert len(cloud.requests) == RETRIES + 1


@pytest.mark.parametrize("failure", [Failure("PATCH", status=500), Failure("PATCH", silent=True, works=True)])
async def test_a_change_is_repeated(api: CiscoApi, cloud: LocalCloud, failure: Failure) -> None:
    """Changing a stream to the same thing twice does no harm."""
    made = await api.create_event_stream("SIEM")
    failure.times = 1
    cloud.fail(failure)
    await api.update_event_stream(made.id, {"name": "SOC"})
    assert (await api.event_stream(made.id)).name == "SOC"


async def test_a_deletion_whose_answer_was_lost_is_done(api: CiscoApi, cloud: LocalCloud) -> None:
    """The second try finds nothing to delete: that is success, while a first try that finds nothing is not."""
    made = await api.create_event_stream("SIEM")
    cloud.fail(Failure("DELETE", silent=True, works=True))
    await api.delete_event_stream(made.id)
    with pytest.raises(EventStreamNotFound):
        await api.delete_event_stream(made.id)


async def test_a_deletion_may_be_answered_without_a_body(api: CiscoApi, cloud: LocalCloud) -> None:
    """204, and 200 with nothing in it, are as good as 200 with a body."""
    for status in (204, 200):
        made = await api.create_event_stream("SIEM")
        cloud.fail(Failure("DELETE", works=True, status=status))
        await api.delete_event_stream(made.id)


@pytest.mark.parametrize(
    "failure", [lost_answer(), Failure("POST", silent=True), Failure("POST", status=500), Failure("POST", status=502)]
)
async def test_a_creation_whose_answer_was_lost_is_not_repeated(
    api: CiscoApi, cloud: LocalCloud, failure: Failure
) -> None:
    """Whether the stream exists is not known, so nothing is sent again; 5xx may hide a success too."""
    failure.times = 1
    cloud.fail(failure)
    with pytest.raises(CreationInDoubt, match="not known whether the stream was created") as caught:
        await api.create_event_stream("SIEM")
    assert not caught.value.late
    assert isinstance(caught.value, CloudAnswerLost)
    assert cloud.requests == [("POST", "/v1/event_streams")]


async def test_a_creation_that_is_slow_may_still_come(
    connect: Connect, cloud: LocalCloud, organisation: Organisation
) -> None:
    """After a timeout, ours or a gateway's, the cloud may still be working on it, which is another kind of doubt."""
    cloud.fail(Failure("POST", delay_s=30))
    cloud.fail(Failure("POST", status=504))
    async with connect(organisation, timeout_s=0.5) as api:
        for what in ("timed out", "504"):
            with pytest.raises(CreationInDoubt, match=what) as caught:
                await api.create_event_stream("SIEM")
            assert caught.value.late


async def test_a_creation_that_was_never_sent_is_repeated(
    connect: Connect, organisation: Organisation, waits: Waits
) -> None:
    """Without a connection nothing can have been created."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with connect(organisation, url=f"http://127.0.0.1:{taken.getsockname()[1]}") as api:
            with pytest.raises(CloudUnreachable, match=r"no connection to 127\.0\.0\.1"):
                await api.create_event_stream("SIEM")
    assert len(waits.seconds) == RETRIES


@pytest.mark.parametrize(
    "body",
    [
        b"welcome, hunter2",
        b'{"data": {}}',
        b'{"data": {"id": 6, "name": "SIEM", "amqp_credentials": {"user_name": "u", "queue_name": "q"}}}',
        b'{"data": {"id": "six", "amqp_credentials": {"user_name": "u", "password": "p", "queue_name": "q"}}}',
        b'{"data": {"id": 6, "amqp_credentials": '
        b'{"user_name": "u", "password": "p", "queue_name": "q", "proto": "carrier pigeon"}}}',
    ],
)
async def test_an_answer_that_may_hide_a_password_is_kept(api: CiscoApi, cloud: LocalCloud, body: bytes) -> None:
    """A creation that was accepted in an unknown form: the answer is kept for whoever can read it, not shown."""
    cloud.fail(Failure("POST", status=201, body=body))
    with pytest.raises(CredentialsNotSaved, match="'SIEM' was created, but") as caught:
        await api.create_event_stream("SIEM")
    assert caught.value.rescue == body.decode()
    assert body.decode() not in "".join(traceback.format_exception(caught.value))


# --- the rate limit ------------------------------------------------------------------------------


@pytest.mark.parametrize("documented_spelling", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_rate_limit_is_waited_out(
    api: CiscoApi, cloud: LocalCloud, waits: Waits, documented_spelling: bool, method: str
) -> None:
    """A 429 was not carried out, so anything may be repeated, after the seconds that the cloud says."""
    cloud.fail(too_many_requests(42, documented_spelling=documented_spelling))
    if method == "GET":
        await api.version()
    else:
        await api.create_event_stream("SIEM")
    assert waits.seconds == [42.0]
    assert waits.reasons == ["the rate limit is used up"]


async def test_an_action_is_not_sent_over_a_connection_that_took_long(
    connect: Connect, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at before it would be old: nothing was sent, and whoever asked may look again."""
    monkeypatch.setattr(api_module, "ACT_CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # TLS never comes about
        async with connect(organisation, url=f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_s=600.0) as api:
            with pytest.raises(NotTaken) as caught:
                await api.act("PUT", "/v1/computers/x/isolation")
    assert isinstance(caught.value.error, CloudUnreachable)


async def test_an_action_that_had_to_wait_is_not_tried_again_without_a_look(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """Others do not wait meanwhile: the pause ends with an error, and whoever asked may look and ask again."""
    cloud.fail(too_many_requests(42))
    with pytest.raises(NotTaken) as caught:
        await api.act("PUT", "/v1/computers/1/isolation", {})
    assert isinstance(caught.value.error, CloudRateLimited)
    assert len(cloud.requests) == 1
    assert waits.seconds == [42.0]


async def test_a_storm_of_429_is_waited_out_with_growing_pauses(
    api: CiscoApi, cloud: LocalCloud, waits: Waits
) -> None:
    """A reset of 0, again and again, does not turn into a tight loop."""
    cloud.fail(too_many_requests(0, times=5))
    await api.version()
    assert waits.seconds == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_a_429_without_headers_is_waited_out(api: CiscoApi, cloud: LocalCloud, waits: Waits) -> None:
    """The back-off stands in for a missing reset."""
    cloud.fail(Failure(status=429, times=2))
    await api.version()
    assert waits.seconds == [1.0, 2.0]


@pytest.mark.parametrize(("resets", "waited"), [((61,), []), ((30, 31), [30.0])])
async def test_waiting_has_a_limit(
    connect: Connect,
    cloud: LocalCloud,
    organisation: Organisation,
    waits: Waits,
    resets: tuple[int, ...],
    waited: list[float],
) -> None:
    """More than ``max_wait_s`` in all is not waited; the error says how long it would take."""
    for reset_s in resets:
        cloud.fail(too_many_requests(reset_s))
    async with connect(organisation, max_wait_s=60) as api:
        with pytest.raises(CloudRateLimited, match=r"Rate limit exceeded; to wait: 61 s, allowed: 60 s") as caught:
            await api.version()
    assert waits.seconds == waited
    assert "--max-wait" in caught.value.remedy


# --- network, TLS, proxy -------------------------------------------------------------------------


async def test_no_network_is_said_with_the_host(connect: Connect, organisation: Organisation) -> None:
    """A name that does not resolve is an unreachable cloud, with the system's words."""
    async with connect(organisation, url="https://amp.invalid") as api:
        with pytest.raises(CloudUnreachable, match=r"no connection to amp\.invalid: .+") as caught:
            await api.version()
    assert "proxy" in caught.value.remedy


async def test_a_cloud_that_does_not_answer_is_given_up(
    connect: Connect, cloud: LocalCloud, organisation: Organisation
) -> None:
    """The timeout ends each try."""
    cloud.fail(Failure(times=100, delay_s=30))
    async with connect(organisation, timeout_s=0.03) as api:
        with pytest.raises(CloudUnreachable, match=r"127\.0\.0\.1.*: timed out"):
            await api.version()


@pytest.fixture
def tls_cloud(certificates: Certificates) -> Iterator[LocalCloud]:
    """A cloud over HTTPS."""
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        yield cloud


async def test_a_private_cloud_is_trusted_by_its_ca(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates
) -> None:
    """With the CA given, as a file or in SSL_CERT_FILE, the appliance is reached."""
    async with connect(tls_cloud.add_organisation(), url=tls_cloud.url, ca_file=str(certificates.ca_file)) as api:
        assert await api.version() == "v1.2.0"


async def test_the_ca_may_come_from_the_environment(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is honoured."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    async with connect(tls_cloud.add_organisation(), url=tls_cloud.url) as api:
        assert await api.version() == "v1.2.0"


@pytest.mark.parametrize("fault", ["unknown CA", "other host"])
async def test_an_untrusted_certificate_is_refused_at_once(
    connect: Connect, certificates: Certificates, waits: Waits, fault: str
) -> None:
    """Verification is never off: an unknown CA and another host's certificate are said, not repeated."""
    pair = certificates.other_host if fault == "other host" else certificates.server
    ca_file = certificates.untrusted_ca_file if fault == "unknown CA" else certificates.ca_file
    with LocalCloud(tls=server_context(pair)) as cloud:
        async with connect(cloud.add_organisation(), url=cloud.url, ca_file=str(ca_file)) as api:
            with pytest.raises(CloudCertificateRefused, match=r"127\.0\.0\.1:\d+: \w+") as caught:
                await api.version()
    assert "--ca-file" in caught.value.remedy
    assert waits.seconds == []


@pytest.mark.parametrize(("fault", "words"), [("expired", "(valid until 2"), ("not_yet_valid", "(valid from 2")])
async def test_a_certificate_and_a_clock_that_do_not_fit(
    connect: Connect, certificates: Certificates, waits: Waits, fault: str, words: str
) -> None:
    """Both times are said, and that the clock may be the one that is wrong; it is not asked again."""
    with LocalCloud(tls=server_context(getattr(certificates, fault))) as cloud:
        async with connect(cloud.add_organisation(), url=cloud.url, ca_file=str(certificates.ca_file)) as api:
            with pytest.raises(CloudCertificateRefused) as caught:
                await api.version()
    assert words in str(caught.value)
    assert "Z): this machine's clock says 2" in str(caught.value)
    assert "Check this machine's clock" in caught.value.remedy
    assert waits.seconds == []


async def test_a_server_without_tls_is_named(connect: Connect, cloud: LocalCloud, organisation: Organisation) -> None:
    """https to a port that speaks plain HTTP."""
    async with connect(organisation, url=cloud.url.replace("http:", "https:")) as api:
        with pytest.raises(CloudUnreachable, match="does not speak TLS"):
            await api.version()


async def test_a_silent_address_leaves_time_for_the_next_one(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name has several addresses; one that swallows everything does not use up the time."""
    url = tls_cloud.url.replace("127.0.0.1", "localhost")
    with silent_address() as silent:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for address in (silent, ("127.0.0.1", int(url.rpartition(":")[2])))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
        async with connect(tls_cloud.add_organisation(), url=url, ca_file=str(certificates.ca_file)) as api:
            assert await api.version() == "v1.2.0"


async def test_a_proxy_is_used(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates, proxy: Proxy
) -> None:
    """The tunnel goes through the proxy, and TLS is still verified end to end."""
    async with connect(
        tls_cloud.add_organisation(),
        url=tls_cloud.url,
        ca_file=str(certificates.ca_file),
        proxy=f"http://user:secret@{proxy.address}",
    ) as api:
        assert await api.version() == "v1.2.0"
    assert proxy.asked == [f"CONNECT {tls_cloud.url.removeprefix('https://')} HTTP/1.1"]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_an_action_is_not_sent_over_a_way_that_a_proxy_opened_late(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Each step was in time, all together were not: nothing was sent, and whoever asked may look again.

    A look may take its time.
    """
    async with CompanyProxy() as proxy:
        monkeypatch.setattr(transport, "monotonic", lambda: time.monotonic() + 9.0 * len(proxy.asked))
        organisation, url = tls_cloud.add_organisation(), f"{scheme}://127.0.0.1:{proxy.port}"
        ca_file = str(certificates.ca_file)
        async with connect(organisation, url=tls_cloud.url, ca_file=ca_file, proxy=url) as api:
            with pytest.raises(NotTaken) as caught:
                await api.act("PUT", "/v1/computers/x/isolation")
            assert tls_cloud.requests == []
            assert await api.version() == "v1.2.0"
    assert isinstance(caught.value.error, CloudUnreachable)


async def test_a_proxy_of_the_environment_is_used_and_avoided(
    connect: Connect,
    tls_cloud: LocalCloud,
    certificates: Certificates,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTPS_PROXY is used, unless NO_PROXY names the host."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@{proxy.address}")
    organisation = tls_cloud.add_organisation()
    async with connect(organisation, url=tls_cloud.url, ca_file=str(certificates.ca_file)) as api:
        await api.version()
    assert len(proxy.asked) == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with connect(organisation, url=tls_cloud.url, ca_file=str(certificates.ca_file)) as api:
        await api.version()
    assert len(proxy.asked) == 1


async def test_a_proxy_that_refuses_is_named_without_its_password(connect: Connect, proxy: Proxy) -> None:
    """407 is reported at once; user and password of the proxy are nowhere."""
    with LocalCloud() as cloud:
        organisation = cloud.add_organisation()
    async with connect(organisation, url="https://amp.invalid", proxy=f"http://user:hunter2@{proxy.address}") as api:
        with pytest.raises(
            CloudProxyRefused, match=rf"the proxy {proxy.address} answered 407 Proxy Authentication Required$"
        ) as caught:
            await api.version()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_proxy_that_cannot_connect_may_recover(
    connect: Connect, organisation: Organisation, proxy: Proxy
) -> None:
    """502 and 504 of a proxy are tried again."""
    proxy.answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
    async with connect(organisation, url="https://amp.invalid", proxy=f"http://user:secret@{proxy.address}") as api:
        with pytest.raises(CloudProxyFailed, match=f"the proxy {proxy.address} answered 502 Bad Gateway"):
            await api.version()
    assert len(proxy.asked) == RETRIES + 1


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            b"HTTP/1.1 403 user:hunter2\r\ncontent-length: 0\r\n\r\n",
            CloudProxyRefused,
            "answered 403 Forbidden$",
        ),
        (b"HTTP/1.1 499 user:hunter2\r\ncontent-length: 0\r\n\r\n", CloudProxyRefused, "answered 499$"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://user:hunter2@x/\r\n\r\n", CloudProxyFailed, "answered 302 Found$"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CloudProxyFailed, "no way to amp.invalid through the proxy"),
        (b"user:secret:hunter2\r\n\r\n", CloudProxyFailed, "proxy [^ ]*: illegal status line$"),
        (b"HTTP/1.1 200 OK\r\nsecret hunter2\r\n\r\n", CloudProxyFailed, "proxy [^ ]*: illegal header line$"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, CloudProxyFailed, "no way to amp.invalid through the proxy"),
    ],
)
async def test_what_a_proxy_answers_is_never_taken_for_the_clouds_answer(
    connect: Connect, organisation: Organisation, proxy: Proxy, answer: bytes, kind: type[PluginError], said: str
) -> None:
    """Whatever it says instead of opening the way: the proxy is named, and its words are not, they may be secret."""
    proxy.answer = answer
    async with connect(organisation, url="https://amp.invalid", proxy=f"http://user:secret@{proxy.address}") as api:
        with pytest.raises(kind, match=said) as caught:
            await api.create_event_stream("SIEM")
    assert proxy.address in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x05",
        b"\x05\x02\x01",
        b"\x05\x02\x01\x00\x05\x00\x00\x09\x00\x00",
    ],
)
async def test_a_proxy_that_does_not_answer_in_socks(
    connect: Connect, organisation: Organisation, answer: bytes
) -> None:
    """It is named as any other."""
    async with CompanyProxy(answer=answer) as proxy:
        url = f"socks5://user:secret@127.0.0.1:{proxy.port}"
        async with connect(organisation, url="https://amp.invalid", proxy=url) as api:
            with pytest.raises(CloudProxyFailed, match=f"the proxy 127.0.0.1:{proxy.port}: it does not answer in"):
                await api.version()


async def test_a_proxy_that_is_not_there_is_named(connect: Connect, organisation: Organisation) -> None:
    """Not the cloud: nobody has asked it yet."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with connect(organisation, url="https://amp.invalid", proxy=f"http://{address}") as api:
            with pytest.raises(CloudProxyFailed, match=f"through the proxy {address}: Connection refused"):
                await api.version()


async def test_behind_an_open_way_it_is_the_cloud_that_does_not_answer(
    connect: Connect, tls_cloud: LocalCloud, certificates: Certificates, proxy: Proxy
) -> None:
    """The proxy let the request through: what goes wrong then is the cloud's, and a creation is in doubt."""
    tls_cloud.fail(Failure("POST", silent=True))
    async with connect(
        tls_cloud.add_organisation(),
        url=tls_cloud.url,
        ca_file=str(certificates.ca_file),
        proxy=f"http://user:secret@{proxy.address}",
    ) as api:
        with pytest.raises(CreationInDoubt, match="no answer from 127"):
            await api.create_event_stream("SIEM")


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("ftp://user:hunter2@proxy:1", ""),
        ("http://user:hunter2@proxy:port", ""),
        ("hunter2", ""),
        (None, "ftp://user:hunter2@proxy:1"),
        (None, "http://user:hunter2@proxy:port"),
    ],
)
async def test_a_proxy_that_is_no_url_is_refused_without_its_password(
    option: str | None, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake is named, the URL is not quoted."""
    monkeypatch.setenv("ALL_PROXY", variable)
    with pytest.raises(ValueError, match="the proxy") as caught:
        async with http_client(proxy=option):
            pass
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_ca_file_that_is_none_is_refused() -> None:
    """A missing file, and one without certificates, are named."""
    for path in ("/no/such/ca.pem", __file__):
        with pytest.raises(ValueError, match=f"{path}: not a file of PEM certificates"):
            async with http_client(ca_file=path):
                pass


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "api_key"),
    [
        ("", "hunter2"),
        ("id", ""),
        ("id", "hunter2\n"),
        ("id", "hunter 2"),
        ("id", "hünter2"),
        ("i:d", "hunter2"),
        ("id", "\x00"),
    ],
)
def test_what_cannot_be_a_key_is_refused_unseen(client_id: str, api_key: str) -> None:
    """Empty, with white space, not ASCII: said before it is sent, without showing it."""
    with pytest.raises(ValueError, match=r"client id|API key") as caught:
        ApiKey(client_id, api_key)
    assert not api_key or api_key not in str(caught.value)


def test_a_key_does_not_show() -> None:
    """Not in its repr."""
    assert "hunter2" not in repr(ApiKey("id", "hunter2"))


async def test_waiting_silently_waits() -> None:
    """The default of programs that nobody watches."""
    await wait_silently(0.0, "no reason")
