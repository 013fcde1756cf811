"""Names of event types and groups, resolved to ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.errors import NameAmbiguous, NameUnknown
from fluent_plugin_amp.cisco.names import Abbreviated, Named, Names, fold, slug
from fluent_plugin_amp.errors import UsageError

TYPES = Names(
    "event type",
    [
        Named(1090519054, "Threat Detected"),
        Named(553648143, "Threat Quarantined"),
        Named(2164260880, "Quarantine Failure"),
        Named(553648147, "Cloud Recall Detection", ("Retrospective Detection",)),
        Named(1107296257, "Potential Dropper Infection", ("Multiple Infected Files",)),
        Named(1107296258, "Multiple Infected Files", ("Potential Dropper Infection",)),
        Named(553648225, ""),
        Named(553648800, "All Fault Cleared"),
    ],
)
GROUPS = Names(
    "group",
    [
        Named("b077d6bc-bbdf-42f7-8838-a06053fbd98a", "Audit"),
        Named("5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18", "Bureau n° 1 “Zürich”"),
        Named("6c3c2005-4c74-4ba7-8dbb-c4d5b6bafe03", "Audit"),
    ],
)


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("1090519054", 1090519054),
        ("Threat Detected", 1090519054),
        ("  threat   DETECTED ", 1090519054),
        ("retrospective detection", 553648147),
        ("Multiple Infected Files", 1107296258),
        ("553648225", 553648225),
    ],
)
def test_a_name_an_old_name_or_an_id_is_found(text: str, id_: int) -> None:
    """The id, the name and an older name find the type; a name beats an alias."""
    assert TYPES.find(text).id == id_


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("B077D6BC-BBDF-42F7-8838-A06053FBD98A", "b077d6bc-bbdf-42f7-8838-a06053fbd98a"),
        ("bureau N° 1 “ZU\u0308RICH”", "5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18"),
    ],
)
def test_groups_are_found_by_guid_and_by_name_in_any_script(text: str, id_: str) -> None:
    """GUIDs in any case, and names with quotes and accents, however the accents are composed."""
    assert GROUPS.find(text).id == id_


def test_a_name_that_fits_several_lists_them() -> None:
    """Ambiguity is an error, never a guess."""
    with pytest.raises(NameAmbiguous, match=r"'Threat' fits several: Threat Detected \(1090519054\), Threat Q"):
        TYPES.find("Threat")
    with pytest.raises(NameAmbiguous, match=r"b077d6bc.*6c3c2005"):
        GROUPS.find("audit")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Threat Detcted", "meant perhaps: Threat Detected"),
        ("Failure", "meant perhaps: Quarantine Failure"),
        ("zzz", "no event type is called 'zzz'$"),
        ("", "no event type is called ''$"),
        ("   ", "no event type"),
    ],
)
def test_a_name_that_fits_nothing_says_what_is_near(text: str, hint: str) -> None:
    """An unknown name is an error with the names that look alike or contain it; an empty one fits nothing."""
    with pytest.raises(NameUnknown, match=hint):
        TYPES.find(text)


def test_a_name_that_fits_nothing_says_where_its_kind_is_looked_up() -> None:
    """The command of this kind only, with its argument; for the strict look-up and for `all`, too."""
    for find, command in (
        (GROUPS.find, "groups"),
        (GROUPS.find_exactly, "groups"),
        (TYPES.find, "event-types"),
    ):
        for text in ("zzz", "all"):
            with pytest.raises(NameUnknown) as caught:
                find(text)
            assert caught.value.remedy == f"See `amp-streams {command} --search TEXT`; TEXT is a part of the name."


@pytest.mark.parametrize(
    ("text", "meant"),
    [("Retro", 553648147), ("threat q", 553648143), ("All F", 553648800), ("quarantine", 2164260880)],
)
def test_a_beginning_is_not_taken_for_the_name(text: str, meant: int) -> None:
    """What it fits alone is told, for whoever can ask."""
    with pytest.raises(Abbreviated, match=f"only the beginning of a name.*{meant}") as caught:
        TYPES.find(text)
    assert caught.value.meant == meant
    with pytest.raises(Abbreviated):
        TYPES.find_all(["Threat Detected", text])


@pytest.mark.parametrize("text", ["all", "All", "  ALL "])
def test_all_is_everything_and_never_a_name(text: str) -> None:
    """Not the beginning of "All Fault Cleared", not a group of that name; and nothing stands beside it."""
    assert TYPES.find_all([text]) is None
    assert Names("group", [Named("g", "All")]).find_all([text]) is None
    with pytest.raises(NameUnknown, match="`all` is no event type"):
        TYPES.find(text)
    with pytest.raises(UsageError, match="nothing can stand beside it"):
        TYPES.find_all([text, "Threat Detected"])


def test_several_names_give_each_id_once() -> None:
    """Two names of one type count once."""
    assert TYPES.find_all(["Threat Detected", "1090519054", "Quarantine Failure"]) == (
        1090519054,
        2164260880,
    )


def test_search_looks_into_names_aliases_and_ids() -> None:
    """A search finds parts of names, old names and ids, and lists by name."""
    assert [entry.id for entry in TYPES.search("quarantine")] == [2164260880, 553648143]
    assert [entry.id for entry in TYPES.search("retrospective")] == [553648147]
    assert len(TYPES.search("")) == len(TYPES) == len(list(TYPES))


def test_an_id_is_shown_by_name_where_there_is_one() -> None:
    """An id without a name is shown as it is."""
    assert [TYPES.name_of(id_) for id_ in (553648143, 553648225, 7)] == [
        "Threat Quarantined",
        "553648225",
        "7",
    ]


def test_a_long_list_of_candidates_is_cut() -> None:
    """An error lists a dozen candidates and counts the rest."""
    many = Names("group", [Named(f"guid-{n}", f"Branch {n}") for n in range(40)])
    with pytest.raises(NameAmbiguous, match=r"Branch 19 \(guid-19\) and 28 more"):
        many.find("branch")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SIEM", "siem"),
        ("Zürich / EU (1)", "zurich-eu-1"),
        ("日本", "stream"),
        ("../../etc/passwd", "etc-passwd"),
        ("-" * 80 + "x", "x"),
        ("x" * 80, "x" * 50),
        ("", "stream"),
    ],
)
def test_a_slug_is_safe_for_files_and_kubernetes(name: str, expected: str) -> None:
    """Lower case, digits and hyphens only, neither empty nor long."""
    assert slug(name) == expected


@given(
    st.lists(st.text(min_size=1).filter(lambda text: fold(text) not in ("", "all")), min_size=1, unique_by=fold),
    st.data(),
)
def test_a_full_name_always_finds_its_own_entry(names: list[str], data: st.DataObject) -> None:
    """Whatever the names are, beginnings and aliases of each other included: the full name decides."""
    known = Names("event type", [Named(-1 - n, name, (names[n - 1] + "x",)) for n, name in enumerate(names)])
    n = data.draw(st.integers(0, len(names) - 1))
    if not fold(names[n]).startswith("-"):  # an id would decide first
        assert known.find(f"  {names[n]} ").id == -1 - n


def test_what_is_named_exactly() -> None:
    """Id or whole name, whatever the case: no form of a letter, no blank more, no beginning, and never a guess."""
    zurich = "5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18"
    for text in (zurich, zurich.upper(), "Bureau n° 1 “Zürich”", "BUREAU N° 1 “ZÜRICH”"):
        assert GROUPS.find_exactly(text).id == zurich
    for text in ("Bureau no 1 “Zürich”", " Bureau n° 1 “Zürich”", "Bureau n°  1 “Zürich”", "Bureau", zurich[:-1], ""):
        with pytest.raises(NameUnknown):
            GROUPS.find_exactly(text)
    with pytest.raises(NameAmbiguous, match="6c3c2005"):
        GROUPS.find_exactly("audit")
    taken = Names("group", [Named("b077d6bc-bbdf-42f7-8838-a06053fbd98a", zurich)])
    with pytest.raises(NameUnknown):
        taken.find_exactly(zurich)
