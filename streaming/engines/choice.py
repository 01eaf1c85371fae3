"""Which engine plays a station. In: the engines; out: one of them. Remembers nothing; event loop only."""

from __future__ import annotations

from collections.abc import Iterable

from streaming.engines.link import Link, Played
from streaming.errors import EngineUnavailable


def choose_link(links: Iterable[Link], max_load: float, asleep: Played | None = None) -> Link:
    """The engine with the most time to spare, of those that can bring a sleeping station back if there are any.

    Raises `EngineUnavailable` where none has time; for a station that has been let in somebody else gives way.
    """
    ready = [link for link in links if link.is_ready]
    if not ready:
        raise EngineUnavailable("the engine is restarting; try again in a few seconds")
    free = [link for link in ready if link.has_slot and (asleep is not None or not link.is_busy)]
    if not any(link.has_slot for link in ready):
        raise EngineUnavailable("every engine plays as many stations as it may; try again in a few seconds")
    if not free:
        loads = ", ".join(f"{link.expected_load:.0%} busy with {link.num_stations} stations" for link in ready)
        free, needed = (max(getattr(link, name) for link in ready) for name in ("free_load", "station_load"))
        raise EngineUnavailable(
            f"no engine has room for another station ({loads}): up to max_load, {max_load:.0%}, "
            f"{free:.0%} is free, and one takes {needed:.0%}; try later",
            free=round(free, 3), needed=round(needed, 3),
        )  # fmt: skip
    if asleep is not None:
        free = [link for link in free if link.has_kept(asleep.id)] or free
    return min(free, key=lambda link: link.expected_load)
