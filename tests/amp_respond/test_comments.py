"""The comment of an action tells whose it is."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.amp_respond.comments import MAX_COMMENT, checked_reason, comment, is_ours, signature
from fluent_plugin_amp.amp_respond.entries import Action
from fluent_plugin_amp.errors import UsageError

OURS = signature({"by": "ada@soc1", "entry": "23b177b06c5e"})
SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"


def test_it_begins_with_the_signature_wherever_it_is_cut() -> None:
    """A long reason loses its end, here or in the cloud; the comment is still ours, and no other entry's."""
    isolate = Action("isolate")
    given = comment(isolate, OURS, "y" * 300)
    assert given.startswith("[ada@soc1, 23b177b06c5e] yyy")
    assert len(given) == MAX_COMMENT
    assert is_ours(isolate, given[:30], OURS)
    assert not is_ours(isolate, f"as {OURS} said", OURS)
    assert not is_ours(isolate, given, signature({"by": "ada@soc1", "entry": "836b1b1f02d9"}))


def test_a_file_goes_back_with_its_description_alone() -> None:
    """That is the comment that the action gave, so a longer one is somebody else's."""
    block = Action("block", sha256=SHA256, description="case 76, by bob")
    assert comment(block, OURS, "case 77") == "case 76, by bob"
    assert is_ours(block, "case 76, by bob", OURS)
    assert not is_ours(block, "case 76, by bob and eve", OURS)


def test_a_reason_is_one_line() -> None:
    """Blanks and ends of lines are one blank each."""
    assert checked_reason("  case\n 77 ") == "case 77"


@pytest.mark.parametrize("reason", ["", " \n", "x" * 201, "\x1b[2J"])
def test_a_reason_can_be_read(reason: str) -> None:
    """What is empty, too long or not printable is refused."""
    with pytest.raises(UsageError, match="--reason: say why, in 200 characters at most"):
        checked_reason(reason)
