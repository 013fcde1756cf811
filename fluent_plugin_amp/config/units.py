"""Durations, sizes and whole numbers as a configuration writes them.  Pure.

The three classes are annotations for the models: ``Annotated[float, Duration(at_least="1s")]`` reads ``10s``,
checks the range, and says in its JSON Schema and in the reference what may be written.  A text that is all
digits is fine everywhere, since that is what ``${PORT}`` becomes.  No message repeats the value: it might be a
secret in the wrong place.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import CoreSchema, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

KIB = 1024
MIB = 1024 * KIB

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"B": 1, "kB": 1000, "KiB": KIB, "MB": 1000**2, "MiB": MIB, "GB": 1000**3, "GiB": 1024 * MIB}
_SIZE_FACTORS = {unit.lower(): factor for unit, factor in _SIZE_UNITS.items()}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_DIGITS = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclass(frozen=True)
class Quantity(ABC):
    """A number with a unit and a range; ``at_least`` and ``at_most`` are written as a user would write them."""

    at_least: str
    at_most: str | None = None
    why: str = ""
    """Said after a refusal for range: what would go wrong."""
    word: str = ""
    """A text that may stand in place of the number, such as ``auto``."""

    kind: ClassVar[str]
    """What the reference calls it."""
    unit: ClassVar[str]
    """The unit of a bare number, and of the attribute's value."""
    examples: ClassVar[str] = ""
    """What a refusal adds, for those who don't know how to write one."""

    @abstractmethod
    def read(self, value: object) -> float | int | None:
        """The number in ``unit``; None when ``value`` is no such quantity."""

    @abstractmethod
    def write(self, number: float) -> str:
        """The shortest text that `read` takes for ``number``."""

    def check(self, value: object) -> float | int | str:
        """The number, or `word`; ValueError when it is neither, or out of range."""
        if self.word and value == self.word:
            return self.word
        number = self.read(value)
        if number is None:
            raise ValueError(f"must be {self.word and f'`{self.word}` or '}a {self.kind}{self.examples}")
        least, most = self.range
        if number < least:
            raise ValueError(f"must be at least {self.at_least}{self.why and f': {self.why}'}")
        if number > most:
            raise ValueError(f"must be at most {self.at_most}{self.why and f': {self.why}'}")
        return number

    @property
    def range(self) -> tuple[float, float]:
        """``at_least`` and ``at_most`` in `unit`."""
        return self.read(self.at_least) or 0, math.inf if self.at_most is None else self.read(self.at_most) or 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        least, most = self.range
        bounds: JsonSchemaValue = {"minimum": least} if most == math.inf else {"minimum": least, "maximum": most}
        number = {**self._json_type(), **bounds}
        return {"anyOf": [{"const": self.word}, number]} if self.word else number

    @abstractmethod
    def _json_type(self) -> JsonSchemaValue:
        """JSON Schema of what may be written, without the range."""


@dataclass(frozen=True)
class Duration(Quantity):
    """A duration: ``250ms``, ``10s``, ``5m``, ``1h``, ``2d``; the value is a float of seconds."""

    kind: ClassVar[str] = "duration"
    unit: ClassVar[str] = "seconds"
    examples: ClassVar[str] = ", such as 250ms, 10s, 5m, 1h or 2d; a bare number counts seconds"

    def read(self, value: object) -> float | None:
        """Seconds."""
        number, unit = _amount(value)
        factor = _DURATION_UNITS.get(unit or "s")
        return None if number is None or factor is None else number * factor

    def write(self, number: float) -> str:
        """In the largest unit that divides it, to the millisecond: 600.0 is ``10m``."""
        for unit in ("d", "h", "m", "s"):
            count = number / _DURATION_UNITS[unit]
            if number and count == int(count):
                return f"{int(count)}{unit}"
        return f"{round(number * 1000)}ms" if number else "0s"

    def _json_type(self) -> JsonSchemaValue:
        return {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)?$"}


@dataclass(frozen=True)
class Size(Quantity):
    """A size: ``16KiB``, ``1MiB``, ``10MB``; the value is an int of bytes."""

    kind: ClassVar[str] = "size"
    unit: ClassVar[str] = "bytes"
    examples: ClassVar[str] = ", such as 64KiB, 1MiB or 10MB; a bare number counts bytes"

    def read(self, value: object) -> int | None:
        """Bytes, rounded down."""
        number, unit = _amount(value)
        factor = _SIZE_FACTORS.get((unit or "B").lower())
        return None if number is None or factor is None else int(number * factor)

    def write(self, number: float) -> str:
        """In the largest binary unit that divides it: 1048576 is ``1MiB``."""
        for unit in ("GiB", "MiB", "KiB"):
            if number and number % _SIZE_UNITS[unit] == 0:
                return f"{int(number // _SIZE_UNITS[unit])}{unit}"
        return f"{int(number)}B"

    def _json_type(self) -> JsonSchemaValue:
        return {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*(([kKmMgG][iI]?)?[bB])?$"}


@dataclass(frozen=True)
class Whole(Quantity):
    """A whole number; true and false are none."""

    kind: ClassVar[str] = "whole number"
    unit: ClassVar[str] = ""

    def read(self, value: object) -> int | None:
        """The number."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value.strip()) else None

    def write(self, number: float) -> str:
        """The digits."""
        return str(int(number))

    def _json_type(self) -> JsonSchemaValue:
        return {"type": "integer"}


@dataclass(frozen=True)
class Share(Quantity):
    """A part of the whole, from 0 to 1."""

    kind: ClassVar[str] = "part of 1"
    unit: ClassVar[str] = ""
    examples: ClassVar[str] = ", such as 0.5"

    def read(self, value: object) -> float | None:
        """The number."""
        number, unit = _amount(value)
        return None if unit else number

    def write(self, number: float) -> str:
        """Its digits."""
        return f"{number:g}"

    def _json_type(self) -> JsonSchemaValue:
        return {"type": "number"}


def _amount(value: object) -> tuple[float | None, str]:
    """The number in ``value``, None when there is none, and the unit behind it, if any."""
    if isinstance(value, str) and (match := _AMOUNT.fullmatch(value.strip())):
        return float(match[1]), match[2]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value), ""
    return None, ""
