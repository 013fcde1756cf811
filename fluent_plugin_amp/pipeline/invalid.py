"""Why an event cannot be a record, in our own words, whatever was raised over it.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import EventIntegerTooLarge, EventProcessingFailed, EventTooDeep, InvalidEvent
from fluent_plugin_amp.text import modules_of

NOT_PACKED = (OverflowError, RecursionError, ValueError)
"""Raised where msgpack cannot carry a record."""


def not_packed(error: Exception) -> InvalidEvent:
    """What keeps an event out of msgpack; ``error`` is one of `NOT_PACKED`."""
    if isinstance(error, OverflowError):
        return EventIntegerTooLarge("an integer exceeds 64 bits")
    return EventTooDeep(str(error))


def as_invalid(error: Exception) -> InvalidEvent:
    """``error`` itself where the event is to blame; else the step that nobody foresaw to fail, and no value."""
    if isinstance(error, InvalidEvent):
        return error
    return EventProcessingFailed(f"{type(error).__name__} in {_step_of(error)}")


def _step_of(error: Exception) -> str:
    """The module of the package, such as ``pipeline.links``, that was at work when it was raised."""
    ours = [name for name in modules_of(error) if name.startswith("fluent_plugin_amp.")]
    return ours[-1].removeprefix("fluent_plugin_amp.") if ours else "an unknown step"
