"""Lists of files: a bad hash never gets onto an allow list."""

from __future__ import annotations

import json

import pytest

from fluent_plugin_amp.cisco import file_lists
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerNotUnderstood,
    CloudRefused,
    FileListAmbiguous,
    FileListNotFound,
    FileListWrongType,
    NotSha256,
)
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.testing.cloud import Failure, LocalCloud
from fluent_plugin_amp.testing.organisation import Organisation

SHA256 = "95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba"


async def test_a_file_comes_and_goes(api: CiscoApi, organisation: Organisation) -> None:
    """With its description; 409 and 404 say that it was so before."""
    made = organisation.responses.add_list("SOC list", "simple_custom_detections", "Protect")
    found = await file_lists.find(api, "soc list")
    assert await file_lists.listed(api, found.guid, SHA256) is None
    await file_lists.add(api, found.guid, SHA256, "case 77")
    assert await file_lists.listed(api, found.guid, SHA256) == file_lists.ListedFile(SHA256, "case 77")
    content = await file_lists.content(api, found.guid)
    assert content == file_lists.Content((file_lists.ListedFile(SHA256, "case 77"),), ("Protect",))
    with pytest.raises(CloudRefused) as raised:
        await file_lists.add(api, found.guid, SHA256, "case 77")
    assert raised.value.status == 409
    await file_lists.remove(api, found.guid, SHA256)
    assert made.files == {}
    with pytest.raises(CloudRefused) as raised:
        await file_lists.remove(api, found.guid, SHA256)
    assert raised.value.status == 404


async def test_all_pages_of_a_list_are_read(api: CiscoApi, organisation: Organisation) -> None:
    """The items stand inside an object."""
    made = organisation.responses.add_list("SOC list")
    made.files = {f"{number:064x}": "" for number in range(1201)}
    assert len((await file_lists.content(api, made.guid)).files) == 1201
    assert await file_lists.listed(api, made.guid, f"{1200:064x}")
    with pytest.raises(FileListNotFound):
        await file_lists.listed(api, "807b32de-e9a0-4b16-8fa1-dffadb5c7799", SHA256)


async def test_a_part_of_a_list_does_not_tell_what_is_not_on_it(
    api: CiscoApi, organisation: Organisation, cloud: LocalCloud
) -> None:
    """It is an error, of the lists and of the files on them; what came is there."""
    made = organisation.responses.add_list("SOC list")
    total = {"metadata": {"results": {"total": 2}}}
    files = {**total, "data": {"items": [{"sha256": SHA256.upper()}]}}
    lists = {**total, "data": [{"guid": made.guid, "name": "SOC list", "type": "simple_custom_detections"}]}
    cloud.fail(Failure("GET", f"/v1/file_lists/{made.guid}", 9, status=200, body=json.dumps(files).encode()))
    cloud.fail(Failure("GET", "/v1/file_lists/simple", 9, status=200, body=json.dumps(lists).encode()))
    assert await file_lists.listed(api, made.guid, SHA256)
    with pytest.raises(CloudAnswerNotUnderstood, match="cut"):
        await file_lists.listed(api, made.guid, "0" * 64)
    with pytest.raises(CloudAnswerNotUnderstood, match="cut"):
        await file_lists.find(api, "SOC list")


async def test_an_allow_list_is_not_found(api: CiscoApi, organisation: Organisation) -> None:
    """Neither by name nor by GUID."""
    allowed = organisation.responses.add_list("Known good", "allowed_applications")
    organisation.responses.add_list("Execution list", "application_blocking")
    for text in ("Known good", allowed.guid):
        with pytest.raises(FileListNotFound, match=r"'Execution list' \(application_blocking"):
            await file_lists.find(api, text)


def test_a_list_that_says_it_is_another_is_refused() -> None:
    """Wherever it was told."""
    item = {"guid": "807b32de-e9a0-4b16-8fa1-dffadb5c7799", "name": "x", "type": "allowed_applications"}
    with pytest.raises(FileListWrongType):
        file_lists.file_list(item, "simple_custom_detections")


@pytest.mark.parametrize("told", [{}, {"type": None}, {"type": ["allowed_applications"]}])
def test_a_list_that_does_not_say_its_type_is_refused(told: dict[str, object]) -> None:
    """It may be one that lets files through."""
    item = {"guid": "807b32de-e9a0-4b16-8fa1-dffadb5c7799", "name": "x", **told}
    with pytest.raises(FileListWrongType, match="no type"):
        file_lists.file_list(item, "simple_custom_detections")


async def test_a_name_of_two_lists_is_an_error(api: CiscoApi, organisation: Organisation) -> None:
    """One of each type: the GUID decides."""
    detections = organisation.responses.add_list("SOC")
    organisation.responses.add_list("SOC", "application_blocking")
    with pytest.raises(FileListAmbiguous, match=detections.guid):
        await file_lists.find(api, "SOC")
    assert (await file_lists.find(api, detections.guid)).type == "simple_custom_detections"


async def test_a_name_is_the_whole_of_it(api: CiscoApi, organisation: Organisation) -> None:
    """But for its case, and then it must be the only one; a GUID is no name, though a list is called so."""
    for name in ("SOC", "\uff33\uff2f\uff23", "S\u212a", "EDR", "edr", "807b32de-e9a0-4b16-8fa1-dffadb5c7799"):
        organisation.responses.add_list(name)
    assert (await file_lists.find(api, "soc")).name == "SOC"
    for text in ("sk", " SOC", "SOC ", "S OC", "807b32de-e9a0-4b16-8fa1-dffadb5c7799", ""):
        with pytest.raises(FileListNotFound):
            await file_lists.find(api, text)
    with pytest.raises(FileListAmbiguous):
        await file_lists.find(api, "EDR")


def test_a_hash_is_64_hexadecimal_digits() -> None:
    """In either case; and not the one of nothing."""
    assert file_lists.checked_sha256(f" {SHA256.upper()} ") == SHA256
    for text in ("", SHA256[:-1], SHA256 + "0", "a" * 32, "a" * 47, "g" * 64):
        with pytest.raises(NotSha256):
            file_lists.checked_sha256(text)
    with pytest.raises(UsageError, match="empty file"):
        file_lists.checked_sha256(file_lists.NO_FILE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHA256[:-1], "has 63 hexadecimal digits; a SHA-256 has 64, and Cisco's cloud takes no other hash"),
        ("D" * 32, "has 32 hexadecimal digits, as an MD5; a SHA-256 has 64"),
        ("0" * 40, "has 40 hexadecimal digits, as a SHA-1; a SHA-256 has 64"),
        ("f" * 48, "has 48 hexadecimal digits; "),
        ("0" * 128, "has 128 hexadecimal digits; "),
        ("O" + SHA256[1:], "is not made of hexadecimal digits; a SHA-256 has 64"),
        ("95bbbad4…8692a0ba", "is not made of hexadecimal digits; "),
        ("95BBBAD4...", "is not made of hexadecimal digits; "),
        ("\N{CYRILLIC SMALL LETTER A}" + SHA256[1:], "is not made of hexadecimal digits; "),
        (f"{SHA256},", "has more in it than its digits: give these alone"),
        (f"sha256:{SHA256}", "has more in it"),
        (f"SHA-256 = <{SHA256}>", "has more in it"),
        (f"0x{SHA256}", "has more in it"),
        (f"{SHA256[:32]} {SHA256[32:]}", "has more in it"),
    ],
)
def test_what_is_meant_as_a_hash_is_no_name(text: str, said: str) -> None:
    """Mistyped, shortened, or of another kind: nobody would be found who has seen it."""
    with pytest.raises(NotSha256, match=said):
        file_lists.refuse_other_hash(text)


@pytest.mark.parametrize(
    "text",
    [SHA256, SHA256.upper(), "a" * 47, "d" * 31, "cafe", "g" * 63, "a" * 60 + ".exe", "cafe...", "", f"{SHA256}.exe"],
)
def test_a_name_may_have_hexadecimal_digits(text: str) -> None:
    """Fewer of them, or other letters beside them; and a SHA-256 is one."""
    file_lists.refuse_other_hash(text)
