"""What the tests of the pipeline share."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("busy machine", deadline=None)  # no test depends on how fast it runs
settings.load_profile("busy machine")
