"""The tests that have to reach every branch: one file for each module in setup.cfg, printed for `make coverage`.

With ``--ignore`` they are printed as pytest's options that leave them out: `make test` runs each test once.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def covered_modules() -> list[Path]:
    """The files that ``[coverage:run]`` of setup.cfg names, from the root."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    return [Path(line) for line in settings["coverage:run"]["include"].split()]


def mirrored(module: Path) -> Path:
    """``tests/source/test_ledger.py`` for ``fluent_plugin_amp/source/ledger.py``."""
    return Path("tests", *module.parts[1:-1], f"test_{module.name}")


if __name__ == "__main__":
    option = "--ignore=" if sys.argv[1:] == ["--ignore"] else ""
    print(*(f"{option}{mirrored(module)}" for module in covered_modules()))
