"""What the chaos suite knows of what was sent, and of what arrived."""

from __future__ import annotations

from pathlib import Path

from fluent_plugin_amp.model import Chunk
from fluent_plugin_amp.sink.forward.protocol import encode_chunk, entry
from fluent_plugin_amp.testing.receivers import FluentdReceiver
from tests.chaos.world import FIRST_ID, Arrivals, Tap

LETTER = {"error_id": "event.not-json", "body": f'{{"id":{FIRST_ID + 2},"x":1}}}}', "part": 1}


def test_a_tap_notes_records_and_dead_letters(tmp_path: Path) -> None:
    """Whole chunks, however the bytes come; each connection for itself."""
    path = tmp_path / "sent"
    tap, sendings = Tap(path), Arrivals(path)
    entries = [entry(1, 2, {"id": FIRST_ID + 1}), entry(1, 2, LETTER)]
    data = encode_chunk(Chunk("a", "tag", entries, []), "none")
    for connection in (1, 2):
        for at in range(len(data) - 1):
            tap.sent(connection, data[at : at + 1])
    assert sendings.update() == []
    tap.sent(2, data[-1:])
    assert [(each.number, each.chunk) for each in sendings.update()] == [(1, "a"), (2, "a")]


def test_what_a_real_server_wrote(tmp_path: Path) -> None:
    """A dead letter counts as its event's arrival, as a record does."""
    receiver = FluentdReceiver(tmp_path, port=1)
    letter = f'{{"error_id":"event.not-json","body":"{{\\"id\\":{FIRST_ID + 2},\\"x\\":1}}}}"}}'
    (tmp_path / "events.20260101.log").write_text(f'{{"id":{FIRST_ID + 1},"x":1}}\n{letter}\n')
    assert [arrival.number for arrival in Arrivals(receiver).update()] == [1, 2]
