"""The streams of a configuration, from wherever they stand: its own list, included files, credentials files.

Works on the trees of the files, before the models see them, so that a mistake is reported where it was made.
"""

from __future__ import annotations

import os.path
from collections.abc import Collection
from pathlib import Path
from typing import Any

from fluent_plugin_amp.cisco.created import as_credentials, is_answer
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList
from fluent_plugin_amp.config.patterns import has_magic, matching
from fluent_plugin_amp.config.problems import Mark, Problem
from fluent_plugin_amp.config.reading import Reading, read_text
from fluent_plugin_amp.config.url import take_credentials

MAX_INCLUDED = 10_000
"""Files: one for each stream, of more streams than one process can have."""

_FROM_CREDENTIALS = ("url", "username", "password", "queue", "name")
_FROM_ORGANISATION = ("cloud", "api")
_BESIDE_CREDENTIALS = ("cloud", "id")
"""What `amp-streams create --save` writes besides."""


def organisations_of(root: MarkedDict) -> list[MarkedDict]:
    """The organisations as they stand in the file, but for what is none."""
    organisations = root.get("organisations")
    listed = organisations if isinstance(organisations, MarkedList) else ()
    return [each for each in listed if isinstance(each, MarkedDict)]


def take_organisation(reading: Reading, root: MarkedDict, stream: MarkedDict) -> None:
    """Complete a stream from the organisation that it names; what the stream says itself goes first."""
    name, known = stream.get("organisation"), organisations_of(root)
    if name is None or name is BROKEN or root.get("organisations") is BROKEN:
        return
    organisation = next((each for each in known if each.get("name") == name), None)
    if organisation is None:
        names = ", ".join(f"`{each.get('name')}`" for each in known)
        reading.problem(stream, "organisation", f"must be one of `organisations`: {names or 'there is none'}")
        return
    for key in _FROM_ORGANISATION:
        if stream.get(key) is None and organisation.get(key) is not None:
            stream.put(key, organisation[key], organisation.marks[key])


def is_of_organisation(root: MarkedDict, loc: tuple[str | int, ...]) -> bool:
    """Whether a place within a stream is what the stream took from its organisation."""
    if loc[:1] != ("streams",) or len(loc) < 3 or loc[2] not in _FROM_ORGANISATION:
        return False
    _, stream = root["streams"].child(loc[1])
    mark = stream.marks.get(loc[2])
    return any(mark is each.marks.get(str(loc[2]), root) for each in organisations_of(root))


def gather_streams(reading: Reading, root: MarkedDict, file: Path, without: Collection[str] = ()) -> None:
    """Put the streams of the included files behind the file's own, and complete each, in place.

    ``without``: included files that are left out.
    """
    problems = len(reading.problems)
    streams, is_explained = list_streams(reading, root, file, without)
    for stream, mark in zip(streams, streams.marks, strict=True):
        if isinstance(stream, MarkedDict):
            with reading.blaming(mark.file):
                _complete(reading, root, stream)
    _refuse_same_names(reading, streams)
    is_explained = is_explained or len(reading.problems) > problems
    root.put("streams", BROKEN if is_explained and not streams else streams, streams.mark)


def list_streams(
    reading: Reading, root: MarkedDict, file: Path, without: Collection[str] = ()
) -> tuple[MarkedList, bool]:
    """The file's own streams and those of the included files as they stand there; whether a mistake hides some."""
    own = root.get("streams")
    streams = MarkedList(root.marks.get("streams", root.mark), "streams")
    if isinstance(own, MarkedList):
        streams.extend_from(own)
    elif own is not None and own is not BROKEN:
        reading.broken(root, "streams", "must be a list")
    patterns = _patterns(reading, root)
    for included in _matches(reading, root, patterns, file, without):
        with reading.blaming(str(included)):
            _include(reading, root, included, streams)
    return streams, BROKEN in (own, root.get("include"), *patterns)


# --- included files -----------------------------------------------------------------------------------------


def _patterns(reading: Reading, root: MarkedDict) -> list[Any]:
    """What ``include`` lists; BROKEN in place of what is reported already."""
    include = root.get("include")
    if include is None or include is BROKEN:
        return []
    patterns = include if isinstance(include, list) else [include]
    if all(pattern is BROKEN or (isinstance(pattern, str) and pattern) for pattern in patterns):
        return patterns
    reading.broken(root, "include", "must be a file pattern such as streams.d/*.yml, or a list of them")
    return []


def _matches(
    reading: Reading, root: MarkedDict, patterns: list[Any], file: Path, without: Collection[str]
) -> list[Path]:
    """The files that the patterns match, each once, by name within a pattern."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        if pattern is BROKEN:
            continue
        try:
            matches = matching(file.parent, pattern)
        except ValueError as error:
            reading.problem(root, "include", str(error))
            continue
        if has_magic(pattern):
            matches = [match for match in matches if not match.is_dir()]
        elif matches and matches[0].is_dir():
            reading.problem(root, "include", f"{matches[0]} is a folder; its files are {pattern.rstrip('/')}/*.yml")
            continue
        if not matches and has_magic(pattern):
            reading.warnings.append(f"{root.marks['include']}: include: no file matches {pattern}")
        elif not matches and str(file.parent / pattern) not in without:
            with reading.blaming(str(file.parent / pattern)):
                reading.problem(root, "include", f"there is no file {file.parent / pattern}")
        for match in matches:
            if str(match) in without:
                continue
            if os.path.realpath(match) == os.path.realpath(file):
                reading.problem(root, "include", f"{pattern} matches this file itself")
            else:
                found.setdefault(os.path.realpath(match), match)
    if len(found) > MAX_INCLUDED:
        reading.problem(root, "include", f"more than {MAX_INCLUDED} files: only the first of them are read")
    return list(found.values())[:MAX_INCLUDED]


def _include(reading: Reading, root: MarkedDict, file: Path, streams: MarkedList) -> None:
    """Add the streams of one file: it holds one, a list of them, or ``streams`` with a list."""
    try:
        tree = reading.document(file, read_text(file))
    except ValueError as error:
        reading.problem(root, "include", f"{file} {error}")
        return
    if isinstance(tree, MarkedDict) and "streams" in tree:
        for key in tree:
            if key != "streams":
                reading.problem(tree, key, "unknown key: an included file with `streams` holds nothing else")
        tree = tree["streams"]
    if isinstance(tree, MarkedDict):
        streams.add(tree, tree.mark)
    elif isinstance(tree, MarkedList):
        streams.extend_from(tree)
    elif tree is not None and tree is not BROKEN:
        reading.problems.append(Problem(Mark(str(file), 1), "", "must hold a stream, or a list of streams"))


# --- one stream ---------------------------------------------------------------------------------------------


def _complete(reading: Reading, root: MarkedDict, stream: MarkedDict) -> None:
    """Bring together what a stream says in several places: its url, its files, its queue for a name."""
    _split_url(reading, stream)
    reading.take_secret(stream, "password")
    take_api(reading, stream)
    take_organisation(reading, root, stream)
    _take_credentials_file(reading, stream)
    reading.check_tls(stream.get("tls"))
    if stream.get("url") is BROKEN or _may_hold_credentials(stream.get("url")):
        _excuse(stream, ("username", "password"), "url")
    if stream.get("name") is None:
        key = "queue" if stream.get("event_stream_name") is None else "event_stream_name"
        label = stream.get(key)
        name = label if isinstance(label, str) and label else BROKEN
        stream.put("name", name, stream.marks.get(key, stream.mark))


def take_api(reading: Reading, holder: MarkedDict) -> None:
    """The files that the way to the cloud's API needs."""
    api, cloud = holder.get("api"), holder.get("cloud")
    if isinstance(api, MarkedDict):
        reading.take_secret(api, "api_key")
    if isinstance(cloud, MarkedDict):
        reading.check_file(cloud, "ca_file")


def _split_url(reading: Reading, stream: MarkedDict) -> None:
    """Move user and password from the url to their own keys."""
    if not isinstance(stream.get("url"), str):
        return
    stream["url"], username, password = take_credentials(stream["url"])
    for key, value in (("username", username), ("password", password)):
        if value is None:
            continue
        if stream.get(key) is not None:
            reading.problem(stream, key, "given twice, here and in `url`")
        else:
            stream.put(key, value, stream.marks["url"])


def _may_hold_credentials(url: object) -> bool:
    """Whether a url without user and password has an @ all the same, as when the password has a / in it."""
    return isinstance(url, str) and "@" in url


def _take_credentials_file(reading: Reading, stream: MarkedDict) -> None:
    """Complete a stream from its credentials file; what the stream says itself goes first."""
    if stream.get("credentials_file") is None:
        return
    if stream.get("event_stream_name") is not None:
        reading.broken(stream, "credentials_file", "given together with `event_stream_name`: use only one of them")
        _excuse(stream, ("password",), "credentials_file")
        return
    problems = len(reading.problems)
    file = reading.file(stream, "credentials_file")
    saved = _saved(reading, stream, file) if file else None
    if saved is not None:
        for key in _FROM_CREDENTIALS:
            if stream.get(key) is None and saved.get(key) is not None:
                stream.put(key, saved[key], saved.marks[key])
        _take_cloud(stream, saved)
    if saved is None or len(reading.problems) > problems:  # nothing is said of what follows from it
        _excuse(stream, _FROM_CREDENTIALS, "credentials_file")


def _take_cloud(stream: MarkedDict, saved: MarkedDict) -> None:
    """Its API and its console; not its CA file, which may be on another machine."""
    cloud = saved.get("cloud")
    if isinstance(cloud, MarkedDict):
        for key in cloud.keys() - {"api", "console"}:
            del cloud[key]
    if cloud and stream.get("cloud") is None:
        stream.put("cloud", cloud, saved.marks["cloud"])


def _saved(reading: Reading, stream: MarkedDict, file: Path) -> MarkedDict | None:
    """What a credentials file holds; None, with a problem, when it cannot be used."""
    try:
        saved = reading.document(file, read_text(file), variables=False)
    except ValueError as error:
        reading.problem(stream, "credentials_file", f"{file} {error}")
        return None
    if not isinstance(saved, MarkedDict):
        if saved is not BROKEN:
            reading.problems.append(Problem(Mark(str(file), 1), "", "must be a mapping (key: value)"))
        return None
    if is_answer(saved):
        return _from_answer(reading, saved)
    if not saved.keys() & {*_FROM_CREDENTIALS}:
        text = "is no credentials file, which holds " + ", ".join(_FROM_CREDENTIALS)
        reading.problems.append(Problem(Mark(str(file), 1), "", text))
        return None
    for key in saved:
        if key not in _FROM_CREDENTIALS and key not in _BESIDE_CREDENTIALS:
            reading.problem(saved, key, "unknown key; a credentials file holds " + ", ".join(_FROM_CREDENTIALS))
    _split_url(reading, saved)
    return saved


def _from_answer(reading: Reading, answer: MarkedDict) -> MarkedDict | None:
    """Cisco's own answer to the stream's creation, as a credentials file."""
    try:
        credentials = as_credentials(answer)
    except CloudAnswerNotUnderstood as error:
        reading.problems.append(Problem(answer.mark, "", f"Cisco's answer to a creation: {error}"))
        return None
    saved = MarkedDict(answer.mark, answer.path)
    for key, value in credentials.items():
        saved.put(key, value, answer.mark)
    return saved


def _excuse(stream: MarkedDict, keys: tuple[str, ...], cause: str) -> None:
    """Say nothing of keys that are missing because of a mistake in another."""
    for key in keys:
        if stream.get(key) is None:
            stream.put(key, BROKEN, stream.marks[cause])


def _refuse_same_names(reading: Reading, streams: MarkedList) -> None:
    first: dict[str, Mark] = {}
    for stream in streams:
        name = stream.get("name") if isinstance(stream, MarkedDict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            with reading.blaming(stream.mark.file):
                reading.broken(stream, "name", f"`{name}` is the name of another stream too ({first[name]})")
        else:
            first[name] = stream.marks["name"]
