"""examples/grafana.json and examples/alerts.yml against the metrics that there are, and by Prometheus' own tool."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fluent_plugin_amp.errors import HuntsLeftOut
from fluent_plugin_amp.observe import conditions
from fluent_plugin_amp.observe.metrics import PREFIX, Metrics
from tests.observe.test_metrics import busy, scrape
from tests.servers import need

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples/grafana.json").read_text())
ALERTS = ROOT / "examples/alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
RUNBOOK = "https://wiki.example.com/fluent-plugin-amp/operations.md"
RULE_TESTS = Path(__file__).with_name("alerts.yml")
PAGE = (ROOT / "docs/operations.md").read_text("utf-8")

_NAME = re.compile(r"\b(?:cisco_amp|process)_[a-z_]+")


def promtool(*arguments: str, cwd: Path = ROOT) -> str:
    """What it says; its refusal is the test's."""
    need("promtool")
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def panels() -> Iterator[dict[str, Any]]:
    """Those that show something."""
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def queries_of_variables() -> list[str]:
    """What fills the lists at the top."""
    return [each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]


NAMED = {
    "grafana.json": " ".join([*expressions(), *queries_of_variables()]),
    "alerts.yml": " ".join(rule["expr"] for rule in RULES),
}


@pytest.mark.parametrize("file", NAMED)
def test_every_metric_exists(file: str) -> None:
    """A panel of a name that nobody writes stays empty for ever, and an alert silent."""
    written = {name if name.startswith("process_") else PREFIX + name for name, _ in scrape(busy())}
    named = set(_NAME.findall(NAMED[file]))
    assert len(named) >= 8
    assert named <= written


def test_the_dashboard_shows_every_metric() -> None:
    """None is left for nobody to see."""
    written = {PREFIX + name for name, _ in scrape(busy()) if not name.startswith("process_")}
    parts_of_the_histogram = {PREFIX + f"delivery_duration_seconds_{part}" for part in ("count", "sum")}
    assert written - parts_of_the_histogram <= set(_NAME.findall(NAMED["grafana.json"]))


def test_the_page_explains_every_metric() -> None:
    """In the words that Prometheus shows."""
    scene = busy()
    text = asyncio.run(Metrics(scene.figures, scene.troubles).exposition()).decode()
    for family in text_string_to_metric_families(text):
        if family.name.startswith(PREFIX):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            (row,) = re.findall(rf"^\| `{name}`.*", PAGE, re.MULTILINE)
            assert row.endswith(f"| {family.documentation} |")
            assert all(f"`{label}`" in row for sample in family.samples for label in sample.labels.keys() - {"le"})


@pytest.mark.parametrize("finding", [*(condition.id for condition in conditions.ALL), HuntsLeftOut.id])
def test_the_page_explains_every_finding(finding: str) -> None:
    """A chapter for each id that the status page shows and that is no failure; errors have theirs in errors.md."""
    assert PAGE.count(f"\n### `{finding}`\n") == 1


def test_the_pictures_exist() -> None:
    """Each of docs/images is shown by a page, and none is missing."""
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    shown = set(re.findall(r"\(images/([a-z-]+\.png)\)", pages))
    assert shown == {path.name for path in (ROOT / "docs/images").glob("*.png")}


def test_the_panels_fit() -> None:
    """Different ids, no two at one place, none wider than the screen, and each says what it shows."""
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["description"] for panel in panels())


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    """Each query, with Grafana's variables in place."""
    rules = []
    for number, text in enumerate(expressions()):
        text = text.replace("$__rate_interval", "5m")
        rules.append({"record": f"panel_{number}", "expr": re.sub(r"\$\w+", ".*", text)})
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_prometheus_understands_the_alerts() -> None:
    """Expressions, durations and templates."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(ALERTS))


def test_the_alerts_fire_when_they_should() -> None:
    """On what is wrong, and not on what is well: see alerts.yml beside this file."""
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS.name, cwd=RULE_TESTS.parent)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_is_tested_and_explained(rule: dict[str, Any]) -> None:
    """It fires in a test, and leads to a chapter that exists."""
    assert f'"{rule["alert"]}"' in RULE_TESTS.read_text()
    assert f"| `{rule['alert']}` |" in PAGE
    page, _, chapter = rule["annotations"]["runbook_url"].partition("#")
    assert page == RUNBOOK, "a link in a message is of use only when it is absolute"
    heads = re.findall(r"^##+ (.*)", PAGE, re.MULTILINE)
    assert chapter in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
