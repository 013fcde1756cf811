"""Converters of lists: what was made of the items, and whether that is all of the value.  Pure.

An item that a schema does not take, or not whole, leaves the rest of the list as it is; the value then goes to what
is unmapped too, so that it is whole somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fluent_plugin_amp.pipeline.shape.convert import dashed_mac, id_text, ip, mac, text
from fluent_plugin_amp.pipeline.shape.rules import MAX_REPEATED_CHARACTERS

_is_technique = re.compile(r"T\d+(\.\d+)?").fullmatch
_is_tactic = re.compile(r"TA\d+").fullmatch

Made = tuple[list[Any], bool]
_NOTHING: Made = ([], False)


def interfaces(value: Any) -> Made:
    """``{ip, mac}`` each."""
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    for item in value:
        if type(item) is not dict:
            whole = False
            continue
        interface: dict[str, Any] = {}
        for name, there in item.items():
            good = ip(there) if name == "ip" else mac(there) if name == "mac" else None
            if good is not None:
                interface[name] = good
            elif there is not None and there != "":
                whole = False
        if interface:
            made.append({**interface, "type_id": 0, "type": "Unknown"})
    return made, whole


def addresses(value: Any) -> Made:
    """A list of addresses."""
    if type(value) is not list:
        return _NOTHING
    made = [{"ip": item, "type_id": 0, "type": "Unknown"} for item in value if ip(item) is not None]
    return made, len(made) == len(value)


def ips(value: Any) -> Made:
    """A list of addresses."""
    if type(value) is not list:
        return _NOTHING
    made = [item for item in value if ip(item) is not None]
    return made, len(made) == len(value)


def of_each(value: Any, name: str, convert: Callable[[Any], Any]) -> Made:
    """What a converter makes of this attribute of each object; only a part of a list."""
    made = []
    if type(value) is list:
        for item in value:  # a third less time than with comprehensions
            if type(item) is dict:
                good = convert(item.get(name))
                if good is not None:
                    made.append(good)
    return made, False


def interface_ips(value: Any) -> Made:
    """The addresses of interfaces."""
    return of_each(value, "ip", ip)


def interface_macs(value: Any) -> Made:
    """The MACs of interfaces, ``AA-BB-CC-DD-EE-FF``."""
    return of_each(value, "mac", dashed_mac)


def cves(value: Any) -> Made:
    """The numbers of vulnerabilities."""
    return of_each(value, "cve", text)


def cve_urls(value: Any) -> Made:
    """The pages of vulnerabilities."""
    return of_each(value, "url", text)


def groups(value: Any) -> Made:
    """A list of GUIDs."""
    if type(value) is not list:
        return _NOTHING
    made = [{"uid": item} for item in value if type(item) is str and item]
    return made, len(made) == len(value)


def texts(value: Any) -> Made:
    """A list of texts."""
    if type(value) is not list:
        return _NOTHING
    made = [item for item in value if type(item) is str and item]
    return made, len(made) == len(value)


def related_events(value: Any) -> Made:
    """A list of ids."""
    if type(value) is not list:
        return _NOTHING
    made = [{"uid": uid} for item in value if (uid := id_text(item)) is not None]
    return made, len(made) == len(value)


def tactics(value: Any) -> Made:
    """Tactics of MITRE ATT&CK, an attack each: ids, or objects."""
    return _attacks(value, _is_tactic, _tactic)


def techniques(value: Any) -> Made:
    """Techniques of MITRE ATT&CK, an attack each: ids, or objects."""
    return _attacks(value, _is_technique, _technique_or_sub)


def _attacks(value: Any, is_id: Callable[[str], object], attack: Callable[[dict[str, Any]], Any]) -> Made:
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    for item in value:
        described: dict[str, Any] = {}
        if type(item) is str:
            if is_id(item):
                described["uid"] = item
            elif any(map(str.isalnum, item)):
                described["name"] = item
            else:
                whole = False
        elif type(item) is dict:
            for name, there in item.items():
                if name == "external_id" and type(there) is str and is_id(there):
                    described["uid"] = there
                elif name == "name" and type(there) is str and there:
                    described["name"] = there
                elif name == "mitre_url" and type(there) is str and there:
                    described["src_url"] = there
                elif there is not None and there != "":
                    whole = False
        else:
            whole = False
        if "uid" in described or "name" in described:
            if "uid" in described and "name" in described:
                described["name"] = described["name"].removeprefix(f"{described['uid']}: ") or described["name"]
            made.append(attack(described))
        elif described:
            whole = False
    return made, whole


def _tactic(described: dict[str, Any]) -> Any:
    return {"tactic": described}


def _technique_or_sub(described: dict[str, Any]) -> Any:
    uid = described.get("uid", "")
    if "." in uid:
        return {"technique": {"uid": uid.partition(".")[0]}, "sub_technique": described}
    return {"technique": described}


def vulnerabilities(value: Any) -> Made:
    """CVEs; the first one names the program, for all of them."""
    if type(value) is not list:
        return _NOTHING
    made = []
    whole = True
    package: dict[str, str] = {}
    for item in value:
        if type(item) is not dict:
            whole = False
            continue
        cve: dict[str, Any] = {}
        for name, there in item.items():
            if name == "cve" and type(there) is str and there:
                cve["uid"] = there
            elif name == "url" and type(there) is str and there:
                cve["references"] = [there]
            elif name == "score" and (score := cvss_score(there)) is not None:
                cve["cvss"] = [{"base_score": score, "version": "Unknown"}]
            elif name in ("name", "version") and type(there) is str and there:
                if package.setdefault(name, there) != there:
                    whole = False
            elif there is not None and there != "":
                whole = False
        if "uid" in cve:
            made.append({"cve": cve})
        else:
            whole = False
    if sum(map(len, package.values())) * len(made) > MAX_REPEATED_CHARACTERS:  # no program's: kept with the value
        whole = False
    elif "name" in package and "version" in package:
        packages: Any = [package]
        for vulnerability in made:
            vulnerability["affected_packages"] = packages
    elif package:
        whole = False
    return made, whole


def cvss_score(value: Any) -> float | None:
    """Of CVSS."""
    if type(value) is str and len(value) <= 8:
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if type(value) in (int, float) and 0 <= value <= 10 else None


def tactic_arrays(value: Any) -> dict[str, Any] | None:
    """Ids, names and pages of tactics, as arrays."""
    if _are(value, _is_tactic):
        return {"id": value}
    made, _ = tactics(value)
    if not made or len(made) < len(value) or _is_mixed(value):
        return None
    return _arrays([attack["tactic"] for attack in made])


def technique_arrays(value: Any) -> dict[str, Any] | None:
    """Ids, names and pages of techniques, as arrays; sub-techniques apart."""
    if _are(value, _is_technique):
        sub = [item for item in value if "." in item]
        if not sub:
            return {"id": value}
        return {"id": [item.partition(".")[0] for item in value], "subtechnique": {"id": sub}}
    made, _ = techniques(value)
    if not made or len(made) < len(value) or _is_mixed(value):
        return None
    arrays = _arrays([attack["technique"] for attack in made])
    if subtechniques := [attack["sub_technique"] for attack in made if "sub_technique" in attack]:
        arrays["subtechnique"] = _arrays(subtechniques)
    return arrays


def _is_mixed(value: list[Any]) -> bool:
    """Some are objects: of these the arrays hold a part only, and objects alone can be kept."""
    return len({type(item) for item in value}) > 1


def _are(value: Any, is_id: Callable[[str], object]) -> bool:
    """Whether it is a list of ids."""
    if type(value) is not list:
        return False
    for item in value:  # noqa: SIM110, half the time of `all`
        if type(item) is not str or not is_id(item):
            return False
    return True


_ECS_NAMES = {"uid": "id", "name": "name", "src_url": "reference"}


def _arrays(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Each value once."""
    arrays: dict[str, dict[str, None]] = {}
    for item in items:
        for name, value in item.items():
            arrays.setdefault(_ECS_NAMES[name], {})[value] = None
    return {name: list(values) for name, values in arrays.items()}


LISTS: dict[str, Callable[[Any], Made]] = {
    each.__name__: each
    for each in (
        *(interfaces, addresses, groups, texts, related_events, tactics, techniques, vulnerabilities),
        *(ips, interface_ips, interface_macs, cves, cve_urls),
    )
}
OBJECTS: dict[str, Callable[[Any], dict[str, Any] | None]] = {
    each.__name__: each for each in (tactic_arrays, technique_arrays)
}
"""Converters like those of ``convert``."""
