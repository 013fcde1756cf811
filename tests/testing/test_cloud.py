"""The local Cisco cloud, as any HTTP client sees it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluent_plugin_amp.testing.certificates import make_certificates, server_context
from fluent_plugin_amp.testing.cloud import (
    Failure,
    LocalCloud,
    error_body,
    lost_answer,
    too_many_requests,
    web_page,
)
from fluent_plugin_amp.testing.organisation import Organisation, RequestLimit
from fluent_plugin_amp.testing.waiting import DEADLINE_S

AUDIT = "b077d6bc-bbdf-42f7-8838-a06053fbd98a"
PROTECT = "5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18"
DETECTED, QUARANTINED, FAILURE = 1090519054, 553648143, 2164260880


class RecordingBroker:
    """Remembers what it is told."""

    tls_port = 5671

    def __init__(self) -> None:
        self.queues: dict[str, list[bytes]] = {}
        self.users: dict[str, str] = {}

    def create_stream(
        self, queue: str, username: str, password: str, *, binding_keys: Sequence[str] = ("#",)
    ) -> None:
        """The cloud routes by itself: no binding is wanted."""
        assert binding_keys == ()
        self.queues[queue] = []
        self.users[username] = password

    def delete_queue(self, queue: str) -> None:
        """Forget it."""
        del self.queues[queue]

    def delete_user(self, name: str) -> None:
        """Forget it."""
        del self.users[name]

    def publish(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Keep them."""
        self.queues[queue] += bodies


@pytest.fixture
def broker() -> RecordingBroker:
    """A broker that remembers."""
    return RecordingBroker()


@pytest.fixture
def cloud(broker: RecordingBroker) -> Iterator[LocalCloud]:
    """A cloud with that broker, over plain HTTP."""
    with LocalCloud(broker=broker) as cloud:
        yield cloud


@pytest.fixture
def organisation(cloud: LocalCloud) -> Organisation:
    """One customer."""
    return cloud.add_organisation("client", "key")


@pytest.fixture
def client(cloud: LocalCloud, organisation: Organisation) -> Iterator[httpx.Client]:
    """A client with that customer's key."""
    with httpx.Client(base_url=cloud.url, auth=("client", "key"), trust_env=False, timeout=DEADLINE_S) as client:
        yield client


def event(type_: int = DETECTED, *groups: str, **more: Any) -> bytes:
    """An event of this type, of a computer in these groups."""
    return json.dumps({"event_type_id": type_, "group_guids": list(groups), **more}).encode()


def create(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    """The data of the answer to a creation."""
    response = client.post("/v1/event_streams", json=wanted)
    assert response.status_code == 201, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


# --- the API -------------------------------------------------------------------------------------


def test_version_is_the_test_of_a_key(client: httpx.Client) -> None:
    """The documented answer, links included."""
    answer = client.get("/v1/version").json()
    assert answer["version"] == "v1.2.0"
    assert answer["data"] == {}
    assert answer["metadata"]["links"]["self"] == f"{client.base_url}/v1/version"


@pytest.mark.parametrize("auth", [None, ("client", "wrong"), ("nobody", "key"), ("", "")])
def test_a_wrong_key_is_refused(client: httpx.Client, auth: tuple[str, str] | None) -> None:
    """401 in Cisco's words, with no key, another key, or another client."""
    response = httpx.get(f"{client.base_url}/v1/version", auth=auth, trust_env=False, timeout=DEADLINE_S)
    assert response.status_code == 401
    error = response.json()["errors"][0]
    assert error == {
        "error_code": 401,
        "description": "Unauthorized",
        "details": ["Unknown API key or Client ID"],
    }


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Bearer abc", "Basic //79"])
def test_a_malformed_authorization_is_refused(client: httpx.Client, header: str) -> None:
    """A header that is no Basic authentication is a wrong key, not a fault of the cloud."""
    response = httpx.get(
        f"{client.base_url}/v1/version", headers={"authorization": header}, trust_env=False, timeout=DEADLINE_S
    )
    assert response.status_code == 401


def test_all_known_event_types_are_there(client: httpx.Client) -> None:
    """Every id with a name, the large ones exact."""
    answer = client.get("/v1/event_types").json()
    assert len(answer["data"]) == answer["metadata"]["results"]["total"] > 100
    assert {"id": FAILURE, "name": "Quarantine Failure", "description": "Quarantine Failure"} in answer["data"]


def test_pages_are_linked_and_the_last_has_no_next(client: httpx.Client, organisation: Organisation) -> None:
    """Following ``next`` gives each group once; on the last page it is absent."""
    organisation.groups = {f"guid-{n}": f"Branch {n}" for n in range(1234)}
    seen: list[str] = []
    url = "/v1/groups"
    while True:
        answer = client.get(url).json()
        seen += [group["guid"] for group in answer["data"]]
        links, results = answer["metadata"]["links"], answer["metadata"]["results"]
        assert results["total"] == 1234
        if "next" not in links:
            break
        url = links["next"]
    assert seen == list(organisation.groups)
    assert results == {"total": 1234, "current_item_count": 234, "index": 1000, "items_per_page": 500}
    assert links["prev"].endswith("limit=500&offset=500")


def test_a_stream_is_created_with_its_password_once(client: httpx.Client, broker: RecordingBroker) -> None:
    """Singular keys in, plural keys out; a string port; the password in this answer and nowhere later."""
    made = create(client, name="SIEM", event_type=[DETECTED], group_guid=[AUDIT])
    credentials = made["amqp_credentials"]
    assert (made["event_types"], made["group_guids"]) == ([DETECTED], [AUDIT])
    assert credentials["queue_name"] == f"event_stream_{made['id']}"
    assert credentials["user_name"].startswith(f"{made['id']}-")
    assert len(credentials["password"]) == 40
    assert (credentials["host"], credentials["port"], credentials["proto"]) == ("localhost", "5671", "https")
    assert broker.users == {credentials["user_name"]: credentials["password"]}

    for path in ("/v1/event_streams", f"/v1/event_streams/{made['id']}"):
        assert credentials["password"] not in client.get(path).text


def test_a_stream_of_everything_names_no_lists(client: httpx.Client) -> None:
    """Omitted and empty lists mean all, and are absent from the answer."""
    for wanted in ({"name": "a"}, {"name": "b", "event_type": [], "group_guid": []}):
        made = create(client, **wanted)
        assert made.keys() == {"id", "name", "amqp_credentials"}


def test_a_sixth_stream_is_refused(client: httpx.Client) -> None:
    """Five are allowed; after a deletion there is room again."""
    made = [create(client, name=f"s{n}") for n in range(5)]
    assert client.post("/v1/event_streams", json={"name": "s6"}).status_code == 400
    assert client.delete(f"/v1/event_streams/{made[0]['id']}").status_code == 200
    create(client, name="s6")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"name": ""}',
        b'{"name": "x", "event_types": [1]}',
        b'{"name": "x", "event_type": [1]}',
        b'{"name": "x", "group_guid": ["no such group"]}',
    ],
)
def test_a_creation_that_asks_for_nonsense_is_refused(client: httpx.Client, body: bytes) -> None:
    """No name, plural keys, unknown ids: 400, and nothing is created."""
    assert client.post("/v1/event_streams", content=body).status_code == 400
    assert client.get("/v1/event_streams").json()["data"] == []


def test_a_change_touches_only_what_it_names(client: httpx.Client) -> None:
    """PATCH takes singular keys; what it omits stays, an empty list means all."""
    path = f"/v1/event_streams/{create(client, name='a', event_type=[DETECTED], group_guid=[AUDIT])['id']}"
    changed = client.patch(path, json={"name": "b"}).json()["data"]
    assert (changed["name"], changed["event_types"], changed["group_guids"]) == ("b", [DETECTED], [AUDIT])
    changed = client.patch(path, json={"event_type": []}).json()["data"]
    assert "event_types" not in changed
    assert client.patch(path, json={"id": 5}).status_code == 400


def test_a_deletion_takes_queue_and_user_with_it(client: httpx.Client, broker: RecordingBroker) -> None:
    """Afterwards there is neither stream nor queue nor user."""
    path = f"/v1/event_streams/{create(client, name='a')['id']}"
    assert client.delete(path).status_code == 200
    assert (broker.queues, broker.users) == ({}, {})
    for method in ("GET", "PATCH", "DELETE"):
        response = client.request(method, path)
        assert response.status_code == 404
        assert response.json()["errors"][0]["details"] == ["Event stream not found"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/version", "/v1/event_streams/x", "/v1/event_streams/1/2", "/v1/x"])
def test_what_does_not_exist_is_not_found(client: httpx.Client, path: str) -> None:
    """Any other path is 404, as JSON."""
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["errors"]


def test_a_read_only_key_may_only_read(cloud: LocalCloud) -> None:
    """Every change is 403, every look is fine."""
    cloud.add_organisation("reader", "key", read_only=True)
    with httpx.Client(base_url=cloud.url, auth=("reader", "key"), trust_env=False, timeout=DEADLINE_S) as client:
        assert client.get("/v1/event_streams").status_code == 200
        assert client.post("/v1/event_streams", json={"name": "x"}).status_code == 403
        assert client.patch("/v1/event_streams/0", json={}).status_code == 403
        assert client.delete("/v1/event_streams/1").status_code == 403


def test_organisations_do_not_see_each_other(cloud: LocalCloud, client: httpx.Client) -> None:
    """Streams belong to one key; their ids, and so their queues, are unique in the cloud."""
    cloud.add_organisation("other", "key")
    mine = create(client, name="a")
    with httpx.Client(base_url=cloud.url, auth=("other", "key"), trust_env=False, timeout=DEADLINE_S) as other:
        theirs = create(other, name="a")
        assert theirs["id"] != mine["id"]
        assert other.get(f"/v1/event_streams/{mine['id']}").status_code == 404


# --- events --------------------------------------------------------------------------------------


def test_events_reach_the_streams_that_want_them(
    cloud: LocalCloud, client: httpx.Client, broker: RecordingBroker
) -> None:
    """By type, by group, by both, or all; the bytes are untouched."""
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "detected": {"event_type": [DETECTED]},
        "audit": {"group_guid": [AUDIT]},
        "both": {"event_type": [DETECTED], "group_guid": [AUDIT]},
    }
    queues = {
        name: create(client, name=name, **wanted)["amqp_credentials"]["queue_name"]
        for name, wanted in filters.items()
    }
    one, two, three = event(DETECTED, AUDIT, PROTECT), event(DETECTED, PROTECT), event(QUARANTINED, AUDIT)
    four, five = event(FAILURE), b"no json"
    assert cloud.publish([one, two, three, four, five]) == 10
    got = {name: broker.queues[queue] for name, queue in queues.items()}
    assert got == {
        "all": [one, two, three, four, five],
        "detected": [one, two],
        "audit": [one, three],
        "both": [one],
    }


def test_events_are_kept_newest_first(cloud: LocalCloud, client: httpx.Client) -> None:
    """``GET /v1/events`` pages through them, ids exact."""
    cloud.publish(event(id=6533241145273614340 + n) for n in range(7))
    answer = client.get("/v1/events", params={"limit": 3}).json()
    assert [each["id"] for each in answer["data"]] == [6533241145273614340 + n for n in (6, 5, 4)]
    answer = client.get(answer["metadata"]["links"]["next"]).json()
    assert [each["id"] for each in answer["data"]] == [6533241145273614340 + n for n in (3, 2, 1)]


SHA = "a78c29d1fa05c2b23d1dc9b75da8c053399143682fe3779bc466f10e1a997850"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"event_type[]": [DETECTED]}, [4, 1]),
        ({"event_type[]": [DETECTED, QUARANTINED]}, [4, 2, 1]),
        ({"group_guid[]": AUDIT}, [2, 1]),
        ({"connector_guid[]": "c1"}, [1]),
        ({"detection_sha256": SHA}, [3]),
        ({"application_sha256": SHA}, [4]),
        ({"start_date": "2020-06-25T12:05:52+02:00"}, [4, 3, 2]),
        ({"start_date": "2020-06-25T10:05:53Z"}, [4]),
        ({"start_date": "2020-06-25T10:05:53"}, [4]),
        ({"start_date": "yesterday"}, [4, 3, 2, 1]),
        ({"event_type[]": [DETECTED], "group_guid[]": AUDIT}, [1]),
    ],
)
def test_events_are_filtered(cloud: LocalCloud, client: httpx.Client, query: dict[str, Any], ids: list[int]) -> None:
    """Type, group, computer, hashes and time restrict the list, all of them together."""
    moment = 1593079552  # 2020-06-25T10:05:52Z
    cloud.publish(
        [
            event(DETECTED, AUDIT, id=1, connector_guid="c1", timestamp=moment - 1),
            event(QUARANTINED, AUDIT, id=2, timestamp=moment),
            event(FAILURE, id=3, file={"identity": {"sha256": SHA}}, timestamp=moment),
            event(DETECTED, id=4, file={"parent": {"identity": {"sha256": SHA}}}, timestamp=moment + 1),
        ]
    )
    assert [each["id"] for each in client.get("/v1/events", params=query).json()["data"]] == ids


# --- limits and failures -------------------------------------------------------------------------


def test_requests_are_counted(client: httpx.Client, organisation: Organisation) -> None:
    """Each answer says what is left; when nothing is, 429 with the seconds to wait, until these are over."""
    organisation.requests = RequestLimit(limit=2, window_s=1000)
    assert client.get("/v1/version").headers["x-ratelimit-remaining"] == "1"
    assert client.get("/v1/version").headers["x-ratelimit-remaining"] == "0"
    refused = client.get("/v1/version")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["x-ratelimit-reset"]) <= 1000
    organisation.requests.began -= 1000
    assert client.get("/v1/version").status_code == 200


def test_failures_happen_as_often_as_scripted(cloud: LocalCloud, client: httpx.Client) -> None:
    """To the method and path they are meant for, then everything is as before."""
    failure = cloud.fail(Failure("GET", "/v1/groups", 2, status=500, body=error_body(500, "Oops", "twice")))
    assert client.get("/v1/version").status_code == 200
    assert client.get("/v1/groups").json()["errors"][0]["details"] == ["twice"]
    assert client.get("/v1/groups").status_code == 500
    assert failure.times == 0
    assert client.get("/v1/groups").status_code == 200


def test_a_failure_may_be_one_clients_alone(cloud: LocalCloud, client: httpx.Client) -> None:
    """Other organisations are not touched."""
    cloud.fail(Failure(client_id="other", status=500))
    cloud.fail(Failure(client_id="client", status=503))
    assert [client.get("/v1/version").status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("documented_spelling", [True, False])
def test_a_scripted_429_has_a_reset(cloud: LocalCloud, client: httpx.Client, documented_spelling: bool) -> None:
    """In either spelling of the headers."""
    cloud.fail(too_many_requests(7, documented_spelling=documented_spelling))
    response = client.get("/v1/version")
    assert response.status_code == 429
    assert response.headers["x-rate-limit-reset" if documented_spelling else "x-ratelimit-reset"] == "7"


def test_a_web_page_can_stand_in_for_json(cloud: LocalCloud, client: httpx.Client) -> None:
    """As from a portal in between."""
    cloud.fail(web_page())
    assert client.get("/v1/version").text.startswith("<!DOCTYPE html>")


def test_a_lost_answer_hides_what_was_done(
    cloud: LocalCloud, client: httpx.Client, organisation: Organisation
) -> None:
    """The stream exists, and nobody heard of its password."""
    cloud.fail(lost_answer())
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/event_streams", json={"name": "SIEM"})
    assert [stream.name for stream in organisation.streams.values()] == ["SIEM"]


def test_a_cut_connection_hides_nothing(cloud: LocalCloud, client: httpx.Client, organisation: Organisation) -> None:
    """Cut before anything was done, the stream does not exist."""
    cloud.fail(Failure("POST", silent=True))
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/event_streams", json={"name": "SIEM"})
    assert not organisation.streams


def test_a_slow_answer_comes_in_the_end(cloud: LocalCloud, client: httpx.Client) -> None:
    """A client that is patient gets what it asked for."""
    cloud.fail(Failure(delay_s=0.2))
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v1/version", timeout=0.05)
    cloud.fail(Failure(delay_s=0.01))
    assert client.get("/v1/version").status_code == 200


def test_every_request_is_recorded(cloud: LocalCloud, client: httpx.Client) -> None:
    """Method and path, in order, for tests that count them."""
    client.get("/v1/version")
    client.get("/v1/groups", params={"limit": 1})
    assert cloud.requests == [("GET", "/v1/version"), ("GET", "/v1/groups")]


def test_large_answers_are_compressed_for_those_who_ask(client: httpx.Client) -> None:
    """gzip where it is accepted, plain where it is not."""
    assert client.get("/v1/event_types").headers["content-encoding"] == "gzip"
    plain = client.get("/v1/event_types", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == client.get("/v1/event_types").json()


# --- the server ----------------------------------------------------------------------------------


def test_it_serves_https_with_a_certificate_for_loopback(tmp_path: Path) -> None:
    """A client that trusts the CA gets in; one that speaks no TLS, or is silent, blocks nobody."""
    certificates = make_certificates(tmp_path)
    with LocalCloud(tls=server_context(certificates.server)) as cloud:
        key = cloud.add_organisation()
        host, port = cloud.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port))):
            context = ssl.create_default_context(cafile=str(certificates.ca_file))
            with httpx.Client(
                verify=context, trust_env=False, timeout=DEADLINE_S, auth=(key.client_id, key.api_key)
            ) as client:
                answer = client.get(f"{cloud.url}/v1/version").json()
                assert answer["metadata"]["links"]["self"] == f"{cloud.url}/v1/version"
            with pytest.raises(httpx.RequestError):
                httpx.get(cloud.url.replace("https", "http"), trust_env=False, timeout=DEADLINE_S)


def test_closing_it_ends_idle_and_slow_connections() -> None:
    """Nothing waits for a client that is idle, or for an answer that is slow."""
    cloud = LocalCloud()
    cloud.start()
    idle = socket.create_connection(("127.0.0.1", int(cloud.url.rsplit(":", 1)[1])))
    idle.settimeout(DEADLINE_S)
    cloud.fail(Failure(delay_s=3600))
    idle.sendall(b"GET /v1/version HTTP/1.1\r\nhost: x\r\n\r\n")
    deadline = time.monotonic() + DEADLINE_S
    while not cloud.requests and time.monotonic() < deadline:
        time.sleep(0.005)
    cloud.close()
    assert idle.recv(1) == b""
    idle.close()


def test_a_cloud_that_never_started_can_be_closed() -> None:
    """Closing is always safe."""
    LocalCloud().close()
