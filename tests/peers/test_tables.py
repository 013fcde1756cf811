"""The tables of ``make peers`` say what was measured, and who was not."""

from __future__ import annotations

from tests.peers.tables import parts

CONDITIONS = {"date": "2026-03-02", "load": 0.5, "minutes": 12.0, "machine": "m", "versions": [], "sizes": "s."}
FIGURES = {
    "here": {
        "ours": {"version": "0.1.0", "acknowledges": "it arrived"},
        "null": {"version": "1.18", "acknowledges": "it was read"},
    },
    "not here": {"other": "needs other"},
    "speed": {
        "ours": {"rate": [100.0, 400.0, 200.0], "cpu_s": [2.0, 1.0, 4.0], "peak_mib": [50.0, 49.0, 51.0]},
        "null": {"rate": [50.0, 100.0, 200.0], "cpu_s": [4.0, 4.0, 4.0], "peak_mib": [100.0, 100.0, 100.0]},
    },
    "loss": {"ours": {"killed": [0, 1200, 3, 0], "away": None}},
}


def test_the_parts_of_a_run() -> None:
    """Ratios are those of each turn; a fault that nobody came to is failed; who has no loss goes nowhere."""
    made = parts(CONDITIONS, FIGURES)
    assert made["speed"].splitlines()[2:] == [
        "| ours | 100, 200, 400 | 1.00 | 1.00, 2.00, 4.00 | 1.00 | 49.0, 50.0, 51.0 |",
        "| null | 50.0, 100, 200 | 0.50 | 4.00, 4.00, 4.00 | 2.00 | 100, 100, 100 |",
        "| other | not run: needs other |  |  |  |  |",
    ]
    assert made["loss"].splitlines() == [
        "| loss | killed | away | ids changed | acknowledges to the broker when |",
        "|---|---|---|---|---|",
        "| ours | 0 / 1,200 / 3 | failed | 0 | it arrived |",
        "| other | not run: needs other |  |  |  |",
    ]
    assert made["head"].splitlines()[2:] == [
        "| ours | 200 | 2.00 | 50.0 | 0 / 1,200 / 3 | failed |",
        "| null | 100 | 4.00 | 100 | goes nowhere |  |",
    ]
    assert made["versions"] == "- ours: 0.1.0\n- null: 1.18"
