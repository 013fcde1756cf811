"""Lists of files by SHA-256: simple custom detections and application blocking, which policies use.

An allow list takes a hash in the same way, and lets the file through.  So a list is found only among those of the two
blocking types, its type is checked again where it is found, and nothing else is ever changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.cisco import answers
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerNotUnderstood,
    CloudRefused,
    FileListAmbiguous,
    FileListNotFound,
    FileListWrongType,
    NotSha256,
)
from fluent_plugin_amp.cisco.listing import Listing, guid_of
from fluent_plugin_amp.cisco.names import exactly, is_guid
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.hashes import is_sha256
from fluent_plugin_amp.text import how_many

BLOCKING = ("simple_custom_detections", "application_blocking")
"""The types of lists that keep a file from running."""
NO_FILE = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The SHA-256 of an empty file: nobody means it."""
_OTHER_HASHES = {32: ", as an MD5", 40: ", as a SHA-1"}
_MEANT_AS_HASH = re.compile(
    r"[0-9a-f]{32} | [0-9a-f]{40} | [0-9a-f]{48,}"
    r"| \w{64}"  # a letter for a digit, as O for 0
    r"| [0-9a-f]{6,} (…|\.{3}) [0-9a-f]*",  # as a page shows it that has no room
    re.VERBOSE | re.IGNORECASE,
)
_AROUND_A_HASH = re.compile(r"sha-?256|0x|[\W_]", re.IGNORECASE)
"""As in ``sha256:…``, ``"…"`` or ``…,``."""


@dataclass(frozen=True, slots=True)
class FileList:
    """One list."""

    guid: str
    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.type}, {self.guid})"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file on a list."""

    sha256: str
    """Lower case."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What is on a list, and which policies use it."""

    files: tuple[ListedFile, ...]
    policies: tuple[str, ...]


def refuse_other_hash(text: str) -> None:
    """Raises NotSha256 where ``text`` is no SHA-256, but seems to be meant as a hash.

    Cisco's cloud would take it for a name and find nobody who has seen it: an all-clear that is none.
    """
    if not is_sha256(text) and (_MEANT_AS_HASH.fullmatch(text) or is_sha256(_AROUND_A_HASH.sub("", text))):
        raise _not_sha256(text)


def _not_sha256(text: str) -> NotSha256:
    what = "is not made of hexadecimal digits"
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        what = f"has {how_many(len(text), 'hexadecimal digit')}{_OTHER_HASHES.get(len(text), '')}"
    elif is_sha256(_AROUND_A_HASH.sub("", text)):
        what = "has more in it than its digits: give these alone"
    return NotSha256(f"{text[:80]!r} {what}; a SHA-256 has 64, and Cisco's cloud takes no other hash")


def checked_sha256(text: str) -> str:
    """``text`` as a SHA-256, in lower case.  Raises NotSha256, UsageError for the one of an empty file."""
    sha256 = text.strip().lower()
    if not is_sha256(sha256):
        raise _not_sha256(sha256)
    if sha256 == NO_FILE:
        raise UsageError("this is the SHA-256 of an empty file: it means no file")
    return sha256


def file_list(item: Mapping[str, Any], type_: str) -> FileList:
    """An entry of the lists of a type.

    Raises:
        FileListWrongType: it says that it is of another one, or does not say it.
    """
    guid, told = item.get("guid"), item.get("type")
    if not isinstance(guid, str) or not is_guid(guid):
        raise CloudAnswerNotUnderstood("a list of files without a guid")
    found = FileList(guid, answers.text(item.get("name")), answers.text(told) or "no type")
    if found.type != type_:
        raise FileListWrongType(f"the list {found} was told among those of the type {type_}")
    return found


async def file_lists(api: CiscoApi) -> list[FileList]:
    """All lists of the blocking types."""
    return [one for type_ in BLOCKING for one in await of_type(api, type_)]


async def of_type(api: CiscoApi, type_: str) -> list[FileList]:
    """All lists of one of these types."""
    if type_ not in BLOCKING:
        raise FileListWrongType(f"lists of the type {type_!r} are not for blocking")
    listing = Listing(api, f"/v1/file_lists/{type_}", guid_of("guid"))
    return [file_list(item, type_) for item in await listing.whole()]


async def find(api: CiscoApi, text: str) -> FileList:
    """The blocking list with this GUID, or exactly this name, whatever the case.

    Raises FileListNotFound, FileListAmbiguous.
    """
    return pick(await file_lists(api), text)


def pick(lists: Sequence[FileList], text: str) -> FileList:
    """The one of them that ``text`` means, as `find` says."""
    found = exactly(lists, text, id_of=lambda one: one.guid, name_of=lambda one: one.name)
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, (found or lists)[:12]))
    if found:
        raise FileListAmbiguous(f"several lists are called {text!r}: {there}")
    raise FileListNotFound(
        f"no list for blocking is called {text!r}; {f'there are: {there}' if there else 'none is'}"
    )


async def content(api: CiscoApi, guid: str) -> Content:
    """All files on a list, and the names of the policies that use it.  Raises FileListNotFound."""
    path = f"/v1/file_lists/{guid}/files"
    try:
        data = (await api.envelope(path, (("limit", "1"),)))["data"]
        found = tuple([_file(item) for item in await _files(api, guid).whole()])
    except CloudRefused as error:
        raise _unknown(guid, error) from error
    policies = data.get("policies") if isinstance(data, dict) else None
    named = [one for one in policies if isinstance(one, dict)] if isinstance(policies, list) else []
    return Content(found, tuple(answers.text(one.get("name")) for one in named))


async def listed(api: CiscoApi, guid: str, sha256: str) -> ListedFile | None:
    """A file as it is on a list; None: it is not there.  Raises FileListNotFound."""
    listing = _files(api, guid)
    try:
        async for item in listing.items():
            if (one := _file(item)).sha256 == sha256:
                return one
    except CloudRefused as error:
        raise _unknown(guid, error) from error
    listing.refuse_if_cut()
    return None


def _files(api: CiscoApi, guid: str) -> Listing:
    return Listing(api, f"/v1/file_lists/{guid}/files", guid_of("sha256"), inside="items")


def _file(item: Mapping[str, Any]) -> ListedFile:
    return ListedFile(answers.text(item.get("sha256")).lower(), answers.text(item.get("description")))


async def add(api: CiscoApi, guid: str, sha256: str, description: str) -> None:
    """Put a file on a list.  Raises ActionInDoubt, CloudRefused (409: it is there already)."""
    await api.act("POST", f"/v1/file_lists/{guid}/files/{sha256}", {"description": description})


async def remove(api: CiscoApi, guid: str, sha256: str) -> None:
    """Take a file off a list.  Raises ActionInDoubt, CloudRefused (404: it is not there)."""
    await api.act("DELETE", f"/v1/file_lists/{guid}/files/{sha256}")


def _unknown(guid: str, error: CloudRefused) -> CloudRefused | FileListNotFound:
    return FileListNotFound(f"there is no list {guid}") if error.status == 404 else error
