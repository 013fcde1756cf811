from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import BrokerConnectionLost, BrokerCredentialsRefused, ServerUnreachable
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.conditions import Level
from fluent_plugin_amp.observe.page import FINDINGS_SHOWN, render, verdict
from fluent_plugin_amp.observe.rates import History
from fluent_plugin_amp.observe.snapshot import HuntsSnapshot, Proof
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.state.errors import StateDiskFull
from tests.observe.browser import CHROMIUM, Browser
from tests.observe.scenes import NOW, Scene, connected, server_trouble, trouble

REFUSED = BrokerCredentialsRefused("broker:443 refused the user name or the password")
EVIL = "<script>alert(1)</script>\"'&"
MANY = 300
"""Streams, as a provider has them."""


def page(scene: Scene, histories: dict[str, History] | None = None, *, is_available: bool = True) -> str:
    """The page of a scene."""
    return render(scene.status(is_available=is_available), histories or {}, NOW - 3600)


class Reader(html.parser.HTMLParser):
    """The text of a page, its tags in order, and whether they nest."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "not closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        self.tags.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        if "style" not in self._open:
            self.text += data


def history(minutes: list[int]) -> History:
    """So many events in each of these minutes."""
    made, total = History(0, 0.0), 0
    for number, count in enumerate(minutes, 1):
        total += count
        made.sample(total, number * 60.0)
    return made


def many() -> tuple[Scene, dict[str, History]]:
    """A provider's streams: a few in trouble, an hour of history for each."""
    scene = Scene().add_server("fluentd-1:24224").add_server("fluentd-2:24224", is_up=False)
    scene.tell(server_trouble(ServerUnreachable("no connection: Connection refused"), "fluentd-2:24224"))
    for number in range(MANY):
        name = f"tenant-{number:03}"
        counters = Counters(received=number * 1000, delivered=number * 999)
        if number in (17, 203):
            scene.tell(trouble(REFUSED, name))
            scene.add(name, is_connected=False, messages_ready=None, oldest_waiting_s=None, counters=counters)
        elif number == 55:
            scene.tell(facts.StreamBehind(name, 1, 1, 1, False))
            scene.add(name, messages_ready=120_345, oldest_waiting_s=17_280, growth_per_s=-45, counters=counters)
        elif number % 3 == 0:
            scene.add(name, is_exclusive=True, state=State.HELD, reason=Reason.STANDING_BY, counters=counters)
        else:
            scene.add(name, counters=counters)
    scene.clock.now += 1234
    return scene, {
        f"tenant-{number:03}": history([number * 7 + minute % 9 for minute in range(60)]) for number in range(MANY)
    }


def test_all_is_well() -> None:
    """It says so in its title and first of all; then servers, then streams."""
    text = page(Scene().add(counters=Counters(delivered=1234)).add_server())
    read = Reader(text)
    assert "<title>All is well" in text
    places = [read.text.index(each) for each in ("All is well", "1,234", "Servers", "a:24224", "Streams", "emea")]
    assert places == sorted(places)
    assert "What to look at" not in read.text


def test_what_is_wrong_stands_first() -> None:
    """The finding with its streams, since when, its id and what to do, before any figure."""
    scene = Scene().add("well").add("bad", is_connected=False).add_server()
    scene.tell(trouble(REFUSED, "bad"))
    scene.clock.now += 600
    read = Reader(page(scene))
    assert "Degraded: 1 of 2 streams not consuming" in read.text
    places = [
        read.text.index(each)
        for each in (str(REFUSED), "amp-streams rotate", "amqp.credentials-refused", "for 10 min", "events a second")
    ]
    assert places == sorted(places)
    assert read.text.rindex("bad") < read.text.rindex("well"), "the troubled stream's row comes first"


def test_nothing_from_outside_becomes_markup() -> None:
    """Names, errors and remedies are text, wherever they stand."""
    scene = Scene().add(EVIL, is_connected=False).add("b" + EVIL).add_server(EVIL, is_up=False)
    scene.tell(
        trouble(BrokerConnectionLost(EVIL, remedy=EVIL), EVIL), trouble(BrokerConnectionLost(EVIL), "b" + EVIL)
    )
    scene.tell(connected("b" + EVIL), server_trouble(ServerUnreachable(EVIL, remedy=f"`{EVIL}`"), EVIL))
    text = page(scene)
    assert "script" not in Reader(text).tags
    assert "<script" not in text
    assert Reader(text).text.count(EVIL) >= 8


def test_nothing_but_the_style_is_taken_for_markup() -> None:
    """Escaping is the template's, not a matter of remembering it: one value is excused, and it is a file of ours."""
    folder = Path(__file__).parents[2] / "fluent_plugin_amp/observe"
    template = (folder / "page.html.jinja").read_text("utf-8")
    assert re.findall(r"{{[^}]*safe[^}]*}}|{%[^%]*autoescape[^%]*%}", template) == ["{{ style | safe }}"]


def test_templates_are_imported_for_a_page_only() -> None:
    """A plugin whose page nobody opens starts without them."""
    code = "import sys, fluent_plugin_amp.observe.page; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8")
    assert done.stdout == "False\n"


def test_it_is_self_contained() -> None:
    """Nothing is loaded, no script runs, and the browser is asked to come again."""
    text = page(*many())
    assert set(re.findall(r'(?:src|href)="([^"]*)', text)) == {
        "/metrics",
        "/readyz",
        "/healthz",
        *re.findall(r'href="(data:[^"]*)', text),
    }
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert '<meta http-equiv="refresh" content="5">' in text


@pytest.mark.parametrize(
    ("scene", "is_available", "headline"),
    [
        (Scene().add().add_server(), True, "All is well"),
        (Scene().add_server(), True, "All is well"),
        (
            Scene().add(state=State.HELD, reason=Reason.NO_SERVER).add_server(is_up=False),
            False,
            "No server takes events",
        ),
        (
            Scene().add().add("b", state=State.HELD, reason=Reason.PAUSED),
            True,
            "Degraded: 1 of 2 streams not consuming",
        ),
        (Scene().add(state=State.HELD, reason=Reason.PAUSED), True, "1 of 1 stream not consuming"),
        (Scene().add(state=State.BRAKED), True, "Working, with 1 warning"),
        (Scene().add(state=State.BRAKED).add_server(owes_ack_s=20.0), True, "Working, with 2 warnings"),
    ],
)
def test_headlines(scene: Scene, is_available: bool, headline: str) -> None:
    """The answer to "what is wrong" in a few words."""
    assert verdict(scene.status(is_available=is_available))[0] == headline


def test_a_reason_that_is_no_stream_is_a_headline() -> None:
    """/readyz says 503 while combined records cannot be kept: the page does not say that it works."""
    scene = Scene().add().add_server().tell(facts.StateTrouble("/s", StateDiskFull("full"), 5.0))
    assert verdict(scene.status())[0] == "Working, with 1 warning"
    assert verdict(scene.status(detections_open=1))[0] == "Degraded: State file /s"


def test_the_second_line_counts() -> None:
    """How many streams do what, and how many servers are up."""
    scene = Scene().add("a").add("b").add("c", is_connected=False).add_server().add_server("b", is_doubtful=True)
    assert verdict(scene.status())[1] == "3 streams: 2 consuming, 1 connecting. 1 of 2 servers up."
    assert verdict(Scene().status())[1] == "0 streams: no stream is configured here"


def test_what_is_not_known_is_said_so() -> None:
    """Neither zero nor nothing."""
    scene = Scene().add(is_connected=False, messages_ready=None, oldest_waiting_s=None)
    assert Reader(page(scene)).text.count("unknown") == 3


def test_what_is_held_waits_as_well() -> None:
    """While the server is down 200 events are here, in nobody's queue: they are shown with their age."""
    read = Reader(page(Scene().add(unacked=200, oldest_unacked_s=180.0).add_server()))
    assert "200waiting, in the queues or here" in read.text
    assert "3 minoldest waiting" in read.text
    read = Reader(page(Scene().add(unacked=200, oldest_unacked_s=0.02).add_server()))
    assert "–oldest waiting" in read.text, "they are on their way"


def test_the_oldest_event_against_ten_days() -> None:
    """The bar is as long as the part of the ten days that is over."""
    text = page(Scene().add(messages_ready=4, oldest_waiting_s=5 * 86400.0))
    assert "5 days" in Reader(text).text
    assert 'style="width:50%"' in text


def test_the_last_error_stays_visible() -> None:
    """When it is over, with its id; its words and remedy as a hint."""
    scene = Scene().add().tell(trouble(REFUSED), connected())
    scene.clock.now += 7200
    text = page(scene)
    assert "amqp.credentials-refused 2 h ago, over" in Reader(text).text
    assert f'title="{REFUSED}. Check username' in text


def test_the_sparkline() -> None:
    """A bar for each minute that had events, the highest as high as the picture, the latest at the right."""
    scene = Scene().add("a").add("b").add("c")
    text = page(scene, {"a": history([0, 10, 5]), "b": history([0, 0])})
    assert re.findall(r'<path d="([^"]*)"', text) == ["M58 20v-20M59 20v-10"]
    assert "at most 10" in text


def test_many_findings_are_cut() -> None:
    """The page stays readable when everything fails in its own way."""
    scene = Scene()
    for number in range(FINDINGS_SHOWN + 5):
        scene.add(f"s{number}", is_connected=False)
        scene.tell(trouble(BrokerConnectionLost(f"error {number}"), f"s{number}"))
    read = Reader(page(scene))
    assert "… and 5 more" in read.text


def test_many_names_are_cut() -> None:
    """A finding that all streams share names a few of them."""
    scene = Scene()
    for number in range(9):
        scene.add(f"s{number}", state=State.HELD, reason=Reason.NO_SERVER)
    assert "9 streams (s0, s1, s2, s3, s4, s5, s6, s7 …):" in Reader(page(scene)).text


def test_open_detections_and_incidents() -> None:
    """Their numbers, where there are to be any."""
    scene = Scene().add().add_server()
    assert "open" not in Reader(page(scene)).text
    text = render(scene.status(detections_open=1234, incidents_open=0), {}, NOW)
    assert "1,234detections open" in Reader(text).text
    assert "0incidents open" in Reader(text).text


def test_files_that_wait_for_a_hunt() -> None:
    """All organisations together, where there are hunts."""
    scene = Scene().add().add_server()
    assert "hunt" not in Reader(page(scene)).text
    hunts = tuple(HuntsSnapshot(f"{name}/hunts", 2, 0, 0) for name in ("acme", "other"))
    assert "4files wait for a hunt" in Reader(render(scene.status(hunts=hunts), {}, NOW)).text


def test_three_hundred_streams() -> None:
    """The troubled ones first, all of them there, in a page of a size that a phone loads."""
    scene, histories = many()
    text = page(scene, histories)
    names = re.findall(r'<td class="name" title="(tenant-\d+)', text)
    assert names[:3] == ["tenant-017", "tenant-203", "tenant-055"]
    assert len(names) == MANY
    assert names[3:] == sorted(names[3:])
    assert len(text) < 400_000
    Reader(text)


# --- in a real browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, where it is installed."""
    if CHROMIUM is None:
        pytest.skip("not run: needs chromium on PATH (Debian: chromium)")
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def many_page(tmp_path: Path) -> str:
    """The URL of a page with three hundred streams."""
    path = tmp_path / "page.html"
    path.write_text(page(*many()), "utf-8")
    return path.as_uri()


def test_a_person_sees_the_troubled_streams_first(browser: Browser, many_page: str) -> None:
    """Scripts are off; what is wrong is on the first screen, and nothing is loaded from elsewhere."""
    seen = browser.visit(many_page)
    assert seen.text.startswith("▲ Degraded: 2 of 300 streams not consuming")
    assert seen.text.index("tenant-017, tenant-203") < seen.text.index("tenant-000")
    assert seen.requests == [many_page]
    assert seen.complaints == []


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_it_fits_any_window(browser: Browser, many_page: str, width: int) -> None:
    """From a phone to a wall: tables scroll in themselves, the page never does sideways."""
    assert not browser.visit(many_page, width=width).overflows


def test_it_is_dark_at_night(browser: Browser, many_page: str) -> None:
    """As the browser wishes."""
    browser.visit(many_page, scheme="light")
    assert browser.colour_of("body") == "rgb(246, 247, 249)"
    browser.visit(many_page, scheme="dark")
    assert browser.colour_of("body") == "rgb(15, 18, 22)"


def test_levels_have_classes_of_their_own() -> None:
    """Each level is a colour in the style."""
    style = (Path(__file__).parents[2] / "fluent_plugin_amp/observe/page.css").read_text()
    for level in Level:
        assert f".verdict.{level.name.lower()}" in style


def test_polled_sources_have_rows() -> None:
    """How far a long list is read, what the rate limit leaves, and the one in trouble first."""
    scene = Scene().add().add_source("acme/computers", polled_at=NOW - 90, requests_left=2900, read=500, total=50_000)
    scene.add_source("<b>/audit_logs", odd=3).tell(facts.SourceTrouble("<b>/audit_logs", ServerUnreachable("x"), 5.0))
    text = " ".join(Reader(page(scene)).text.split())
    assert "Polled sources (2)" in text
    assert "● reading acme/computers 0 1.5 min ago 500 of 50,000 2,900 0 – none" in text
    assert text.index("▲ in trouble <b>/audit_logs") < text.index("● reading")
    assert "Polled sources" not in page(Scene().add())


def test_the_last_hours_of_completeness() -> None:
    """A strip of 48, of as many colours as there are kinds; a stream without records has none."""
    hour = int(NOW) // 3600 * 3600
    hours = {hour - number * 3600: "clean" for number in range(3, 60)}
    proof = Proof(hour - 7200, hour, 3, hour, {**hours, hour - 7200: "missing", hour - 4 * 3600: "repaired"})
    text = page(Scene().add("proven", proof=proof).add("other"))
    assert text.count('<svg class="strip"') == 1
    assert "The last 48 hours: 45 clean, 1 repaired, 1 missing, 1 no record yet" in text
    assert '<path class="warning" d="M44 .5h.8"/>' in text
    assert '<path class="trouble" d="M46 .5h.8"/>' in text
    assert '<path class="idle" d="M47 .5h.8"/>' in text
    assert "completeness known up to" in Reader(text).text
