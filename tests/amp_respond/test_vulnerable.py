"""`amp-respond vulnerable`."""

from __future__ import annotations

import json

from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import SHA256, Run


def test_vulnerable_programs_are_shown(run: Run, computer: LocalComputer, responses: Responses) -> None:
    """The worst first; of one computer, of one file; and that there are none."""
    responses.vulnerabilities.append({"application": "Chrome", "file": {"identity": {"sha256": "A" * 64}}})
    none = run("vulnerable", "--sha256", SHA256)
    assert (none.stdout, none.stderr) == ("", "0 vulnerable programs\n")
    responses.vulnerabilities.clear()
    about = {"connector_guid": computer.guid, "hostname": computer.hostname}
    for name, score, sha256, computers in (("Firefox", 6.8, "E" * 64, [about]), ("Java", 10, SHA256, [])):
        responses.vulnerabilities.append(
            {
                "application": name,
                "version": "1.7.0:update_10",
                "file": {"identity": {"sha256": sha256}},
                "cves": [{"id": "CVE-2013-0422", "cvss": score}],
                "computers_total_count": len(computers),
                "computers": computers,
            }
        )
    assert [one["application"] for one in json.loads(run("vulnerable", "--json").stdout)] == ["Java", "Firefox"]
    assert "Java" not in run("vulnerable", "--computer", "desk-014").stdout
    assert "Firefox" not in run("vulnerable", "--sha256", SHA256.upper()).stdout
