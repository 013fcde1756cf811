"""Which server gets the next chunk.  Pure.

The servers that can take a chunk share the chunks in proportion to their weights (smooth weighted round robin: evenly
interleaved, no randomness).  Servers have ranks, and a rank is used only while no server of a better rank is up:

1. servers with a weight; 2. servers of weight 0; 3. standby servers with a weight; 4. standby servers of weight 0.

While the servers of the best rank are busy, the chunk waits: it does not go to a worse rank.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fluent_plugin_amp.sink.forward.settings import ServerAddress


class Balancer:
    """Picks among the servers it was made with, by name."""

    def __init__(self, servers: Sequence[ServerAddress]) -> None:
        self._weights = {server.name: max(server.weight, 1) for server in servers}
        self._rank = {server.name: (server.standby, server.weight <= 0) for server in servers}
        self._credit = dict.fromkeys(self._weights, 0)

    def in_use(self, up: Collection[str]) -> list[str]:
        """The servers of the best rank among those that are up, in the order of the configuration."""
        best = min((self._rank[name] for name in up), default=None)
        return [name for name, rank in self._rank.items() if name in up and rank == best]

    def pick(self, up: Collection[str], ready: Collection[str], *, avoid: str | None = None) -> str | None:
        """Pick one of the ``ready`` servers, or None when the chunk has to wait.

        ``avoid`` is picked only when no other server is ready.
        """
        able = [name for name in self.in_use(up) if name in ready]
        if not able:
            return None
        if avoid in able and len(able) > 1:
            able.remove(avoid)
        for name in able:
            self._credit[name] += self._weights[name]
        picked = max(able, key=self._credit.__getitem__)
        self._credit[picked] -= sum(self._weights[name] for name in able)
        return picked
