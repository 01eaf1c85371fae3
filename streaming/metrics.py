"""What operators watch, as Prometheus text. In: observations; out: bytes. Remembers counters. Event loop only."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_STEP_BUCKETS_MS = (1, 2, 4, 6, 8, 10, 15, 20, 30, 50, 100, 250, 1000)
_LATENCY_BUCKETS_MS = (10, 20, 30, 40, 50, 60, 80, 100, 150, 250, 500, 1000)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = {"registry": self.registry}
        self.stations = Gauge("undersong_stations", "Stations that play", **of)
        self.sessions = Gauge("undersong_sessions", "Listeners of all stations", **of)
        self.engines = Gauge("undersong_engines", "Engines that take work", **of)
        self.engine_load = Gauge("undersong_engine_load", "Share of time that engines make blocks, 0 to 1", **of)
        self.each_engine_load = Gauge(
            "undersong_each_engine_load", "Share of time this engine makes blocks, 0 to 1", ["engine"], **of
        )
        self.underruns = Counter("undersong_underruns", "Blocks that were not there in time", **of)
        self.late_blocks = Counter("undersong_late_blocks", "Blocks the engine finished after they were due", **of)
        self.composer_resets = Counter(
            "undersong_composer_resets", "Beats composed again, unheard, because the first were stuck", **of
        )
        self.filler_seconds = Counter("undersong_filler_seconds", "Sound the filler made, seconds", **of)
        self.dropped_chunks = Counter("undersong_dropped_chunks", "20 ms lost by listeners that read too slowly", **of)
        self.engine_restarts = Counter("undersong_engine_restarts", "Times an engine process was started again", **of)
        self.step_ms = Histogram(
            "undersong_step_milliseconds", "Making one batch of blocks", buckets=_STEP_BUCKETS_MS, **of
        )
        self.control_latency_ms = Histogram(
            "undersong_control_latency_milliseconds",
            "From the arrival of a control to the first packet it can change",
            buckets=_LATENCY_BUCKETS_MS,
            **of,
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
