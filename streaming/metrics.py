"""What operators watch, as Prometheus text. In: observations; out: bytes. Remembers counters. Event loop only."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_STEP_BUCKETS_MS = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100, 250, 1000)
_ENCODE_BUCKETS_MS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50)
_LAG_BUCKETS_MS = (0.1, 0.25, 0.5, 1, 2, 4, 6, 10, 15, 20, 30, 50, 100, 250, 1000)
_PUSH_BUCKETS_MS = (0.5, 1, 2, 4, 6, 8, 10, 15, 20, 30, 50, 100)
_RENDER_BUCKETS_S = (1, 2, 5, 10, 20, 60, 180, 600, 1800)
_LATENCY_BUCKETS_MS = (10, 20, 30, 40, 50, 60, 80, 100, 150, 250, 500, 1000)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.stations = gauge("undersong_stations", "Stations that are open, asleep or not")
        self.sessions = gauge("undersong_sessions", "Listeners of all stations")
        self.engines = gauge("undersong_engines", "Engines that take work")
        self.engine_load = gauge("undersong_engine_load", "Share of time that engines make blocks, 0 to 1")
        self.each_engine_load = gauge(
            "undersong_each_engine_load", "Share of time this engine makes blocks, 0 to 1", ["engine"]
        )
        self.refusals = counter(
            "undersong_refusals", "Requests and sockets that were refused, by the problem's code", ["code"]
        )
        self.underruns = counter("undersong_underruns", "Blocks that were not there in time for a listener")
        self.late_blocks = counter("undersong_late_blocks", "Blocks the engine finished after they were due")
        self.composer_resets = counter(
            "undersong_composer_resets", "Beats composed again, unheard, because the first were stuck"
        )
        self.repeated_share = gauge(
            "undersong_repeated_share",
            "Share of the last hour's tunes heard before, 0 to 1, of the playing station that repeats most",
        )
        self.likeness = gauge(
            "undersong_likeness",
            "Of the last minutes to the hour before, to the usual in the mood, to what was learnt, 0 to 1, at most",
            ["to"],
        )
        self.longest_learnt = gauge(
            "undersong_longest_learnt_notes",
            "Notes in a row of the last hour's leads that the model was taught, of the playing station with most",
        )
        self.generator_events = counter("undersong_generator_events", "What generators count of themselves", ["name"])
        self.filler_seconds = counter("undersong_filler_seconds", "Sound the filler made, seconds")
        self.encoding_seconds = counter(
            "undersong_encoding_seconds", "Time that encoders of endless streams took, seconds", ["kind"]
        )
        self.dropped_chunks = counter("undersong_dropped_chunks", "20 ms lost by listeners that read too slowly")
        self.engine_restarts = counter("undersong_engine_restarts", "Times an engine process was started again")
        self.step_ms = histogram("undersong_step_milliseconds", "Making one batch of blocks", buckets=_STEP_BUCKETS_MS)
        self.encode_ms = histogram(
            "undersong_encode_milliseconds", "Encoding a block and handing it over", buckets=_ENCODE_BUCKETS_MS
        )
        self.tick_lag_ms = histogram(
            "undersong_tick_lag_milliseconds",
            "How late the event loop comes to hand out the blocks of a tick",
            buckets=_LAG_BUCKETS_MS,
        )
        self.push_ms = histogram(
            "undersong_push_milliseconds",
            "From a tick until the last of its WebRTC listeners was sent to",
            buckets=_PUSH_BUCKETS_MS,
        )
        self.control_latency_ms = histogram(
            "undersong_control_latency_milliseconds",
            "From the arrival of a control to the first packet it can change",
            buckets=_LATENCY_BUCKETS_MS,
        )
        self.renders_waiting = gauge("undersong_renders_waiting", "Jobs that wait for their turn", ["kind"])
        self.renders_running = gauge("undersong_renders_running", "Jobs that are being done")
        self.renders_kept_bytes = gauge("undersong_renders_kept_bytes", "What jobs and uploads keep on the disk")
        self.renders_ended = counter("undersong_renders_ended", "Jobs that are done or failed", ["kind", "state"])
        self.render_seconds = histogram(
            "undersong_render_seconds", "From a job's turn to its end", ["kind"], buckets=_RENDER_BUCKETS_S
        )
        self.doors_connected = gauge("undersong_door_connected", "1 while a connection to others works", ["door"])
        self.door_failures = counter("undersong_door_failures", "Times a connection to others failed", ["door"])
        self.chat_commands = counter(
            "undersong_chat_commands", "Commands and events of the chat", ["command", "outcome"]
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
