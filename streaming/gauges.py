"""What is looked up when somebody asks for the figures: who listens, what waits, what processes take.

In: a server; out: metrics. Remembers which kinds of listeners there were, so that their series do not end. Event loop
only.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.config import Config
from streaming.engines.link import Link
from streaming.headroom import Headroom
from streaming.station import Station

_CLOCK_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Looked(Protocol):
    """Whoever keeps the stations."""

    config: Config
    headroom: Headroom

    @property
    def stations(self) -> Mapping[str, Station]: ...
    @property
    def links(self) -> Iterable[Link]: ...


class Gauges(Collector):
    """Of one server, for its registry."""

    def __init__(self, server: Looked) -> None:
        self._server = server
        self._kinds: set[str] = set()

    def describe(self) -> Iterable[Metric]:
        """Nothing: there is no server to look at when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        config, stations, links = self._server.config, self._server.stations.values(), list(self._server.links)
        sessions = [session for station in stations for session in station.sessions.values()]
        by_kind = Counter(session.kind for session in sessions)
        self._kinds |= by_kind.keys()
        yield _gauge("listeners", "Who listens, by the way the sound takes", "transport",
                     {kind: by_kind[kind] for kind in self._kinds})  # fmt: skip
        yield _gauge("stations_by_state", "Stations that play, rest or sleep", "state", {
            "asleep": sum(station.is_asleep for station in stations),
            "resting": sum(station.gives_way for station in stations),
            "playing": sum(not (station.is_asleep or station.gives_way) for station in stations),
        })  # fmt: skip
        yield _gauge("clients", "Clients of live channels", None, sum(station.num_clients for station in stations))
        yield _gauge("queue_items", "The longest queue of a kind: blocks for a listener, events for a client, controls "
                     "for an engine", "queue", {
            "audio": max((len(session.mailbox) for session in sessions), default=0),
            "events": max((station.most_unread for station in stations), default=0),
            "controls": max((link.num_unanswered for link in links), default=0),
        })  # fmt: skip
        yield _gauge("headroom_lag_seconds", "What one tick in ten of the last seconds exceeded; above max_lag_ms new "
                     "listeners are refused", None, self._server.headroom.lag_s)  # fmt: skip
        yield _gauge("free_load", "What the engine with most to spare may still take, 0 to 1", None,
                     max((link.free_load for link in links if link.is_ready), default=0.0))  # fmt: skip
        yield _gauge("station_load", "What a station takes of an engine, 0 to 1", None,
                     max((link.station_load for link in links), default=0.0))  # fmt: skip
        pids = {"server": os.getpid()} | {f"engine-{link.name}": pid for link in links if (pid := link.pid) is not None}
        yield _gauge("resident_bytes", "Memory of each process", "process", _each(pids, _resident_bytes))
        yield _counter("cpu_seconds", "Processor time of each process", "process", _each(pids, _cpu_seconds))
        facts = {"version": version("undersong"), "python": platform.python_version(), "device": config.device,
                 "backend": config.backend}  # fmt: skip
        info = GaugeMetricFamily("undersong_build_info", "1; its labels say what runs", labels=list(facts))
        info.add_metric(list(facts.values()), 1)
        yield info


def _gauge(name: str, text: str, label: str | None, values: Mapping[str, float] | float) -> Metric:
    """One value, or one for each value of a label."""
    if not isinstance(values, Mapping):
        return GaugeMetricFamily(f"undersong_{name}", text, value=values)
    assert label is not None
    family = GaugeMetricFamily(f"undersong_{name}", text, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"undersong_{name}", text, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family


def _each(pids: Mapping[str, int], figure: Callable[[int], float]) -> dict[str, float]:
    """A figure of each process that can be looked into: none where there is no /proc."""
    figures = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError, ValueError, IndexError):  # it may be ending
            figures[name] = figure(pid)
    return figures


def _resident_bytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_HZ
