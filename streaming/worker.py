"""The engine process: one loop that makes every station's blocks just ahead of their deadlines.

In: requests on a pipe; out: rings, reports. Remembers the generator and a `Player` for each station. The loop's thread
alone touches generator, players and pipe; a pool of two threads encodes, writes rings and keeps snapshots.
Started by the conductor by way of `undersong_launch`; it ends when the front process does, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import shutil
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS, CHANNELS
from engine.backends import find_factory
from engine.compile import reported_to
from engine.config import EngineConfig
from engine.errors import EngineError
from engine.generator import Generator
from moods.control import parse_control, parse_opening
from moods.controller import Controller
from moods.errors import MoodsError
from streaming.config import Config
from streaming.encoders.opus import OpusEncoder
from streaming.engines.wire import (
    Applied,
    Apply,
    Close,
    Compiling,
    Failed,
    Happened,
    Health,
    Kept,
    Open,
    Opened,
    Pipe,
    Ready,
    Refused,
)
from streaming.journal import open_journal
from streaming.pacing import MAX_LATE_TICKS, give_way_to_others, prefer_to_others, stop_giving_way, tick_at, time_of
from streaming.player import Player
from streaming.protocol import problem_of
from streaming.scratch import ring_path, snapshot_path

log = logging.getLogger("streaming.worker")

HEALTH_S = 0.2
STATUS_S = 1.0
COMPLAIN_S = 10.0
PRIMING_TICKS = 4
"""A block this many ticks late is still encoded, to prime the encoder; an older one is only stepped over."""
_CATCH_UP_S = 10.0
"""How long a station that was brought back may chase them to return where it would have been."""
_MAX_WAIT_S = 0.1
_WARM_UP_BLOCKS = 50


class Worker:
    """Serves one front process over `pipe` until it closes."""

    def __init__(self, generator: Generator, config: Config, pipe: Pipe, folder: Path) -> None:
        """Rings and snapshots lie in `folder`."""
        self._generator, self._config, self._pipe, self._folder = generator, config, pipe, folder
        self._lead_s = config.lead_ms / 1000
        self._room = select.poll()
        self._room.register(pipe.fileno(), select.POLLOUT)
        self._players: dict[str, Player] = {}
        self._free_slots = deque(range(config.max_playing))
        self._pool = ThreadPoolExecutor(2, "publish")
        self._publishing: list[Future[None]] = []
        self._keeping: dict[str, Future[None]] = {}
        self._reports: deque[Kept] = deque()  # from pool threads; the loop sends them
        self._step_ms: deque[float] = deque(maxlen=1000)
        self._late_blocks = 0
        self._told = dict(generator.counters())
        self._busy_s = 0.0
        self._health_at_s = time.monotonic()
        self._deferred: list[Apply] = []
        self._next_status_s: dict[str, float] = {}
        self._chased_until_s: dict[str, float] = {}
        self._skipped_s, self._may_complain_at_s = 0.0, 0.0
        self._next_keep_s: dict[str, float] = {}

    def run(self) -> None:
        """Work until the front closes the pipe."""
        try:
            self._pipe.send(Ready())
            while True:
                self._drain()
                self._make_due_blocks()
                self._keep_house()
        except (EOFError, ConnectionError):
            log.debug("the front process has gone")
        finally:
            self._pool.shutdown(wait=True)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Handle all requests there are, waiting for them no longer than until the next block is due."""
        due = min((time_of(player.due_tick) for player in self._players.values()), default=float("inf"))
        wait_s = min(_MAX_WAIT_S, due - self._lead_s - time.monotonic())
        while self._pipe.poll(max(0.0, wait_s)):
            sent_s, request = self._pipe.receive()
            if isinstance(request, Open):
                self._open(request, sent_s)
            elif isinstance(request, Apply):
                self._apply(request)
            else:
                assert isinstance(request, Close), request
                self._close(request.station)
            wait_s = 0.0

    def _open(self, request: Open, sent_s: float) -> None:
        slot = self._free_slots.popleft()
        paths = ring_path(self._folder, request.station), snapshot_path(self._folder, request.station)
        try:
            player = Player(self._generator, slot, request, *paths, self._config.opus_bit_rate)
        except (MoodsError, OSError) as error:
            self._free_slots.append(slot)
            is_mistake = isinstance(error, MoodsError)
            problem = problem_of(error) if is_mistake else {"code": "engine_unavailable", "detail": str(error)}
            self._pipe.send(Refused(request.station, None, problem))
            return
        now_s = time.monotonic()
        if request.resume is None:
            player.first_tick = tick_at(now_s + self._lead_s) + 1
        else:
            player.first_tick = round((sent_s + request.resume.due_in_s) / BLOCK_SECONDS)
        self._players[request.station] = player
        self._next_status_s[request.station] = now_s
        self._chased_until_s[request.station] = now_s + _CATCH_UP_S
        # The first snapshot comes early, then they are spread by the moments at which stations opened.
        self._next_keep_s[request.station] = now_s + min(1.0, self._config.snapshot_s)
        opened = Opened(request.station, time_of(player.first_tick) - now_s, player.status())
        self._pipe.send(opened, now_s)

    def _apply(self, request: Apply) -> None:
        player = self._players.get(request.station)
        if player is None:
            return
        if player.is_behind:
            self._deferred.append(request)
            return
        try:
            entry, ack = player.apply(request.control)
        except MoodsError as error:
            self._pipe.send(Refused(request.station, request.request, problem_of(error)))
            return
        self._pipe.send(Applied(request.station, request.request, entry, ack, player.heading()))
        self._announce(player)

    def _apply_deferred(self) -> None:
        requests, self._deferred = self._deferred, []
        for request in requests:
            self._apply(request)

    def _close(self, station: str) -> None:
        player = self._players.pop(station, None)
        if player is None:
            return
        wait(self._publishing)
        if station in self._keeping:
            wait([self._keeping.pop(station)])
        player.close()
        del self._next_status_s[station], self._next_keep_s[station], self._chased_until_s[station]
        self._free_slots.append(player.slot)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _make_due_blocks(self) -> None:
        """Make one block of every station that is due; stations that lag are due again at once."""
        begun_s = time.monotonic()
        due = [p for p in self._players.values() if time_of(p.due_tick) - self._lead_s <= begun_s]
        if not due:
            return
        self._skip_what_is_lost(due, tick_at(begun_s))
        for player in due:
            player.replay_due()
            self._announce(player)
        sounding = [player for player in due if player.state.is_sounding]
        slots = [player.slot for player in sounding]
        made = self._generator.step(slots).block if sounding else ()
        blocks = dict(zip((player.station for player in sounding), made, strict=True))
        wait(self._publishing)
        for future in self._publishing:
            future.result()
        self._publishing.clear()
        live_tick = tick_at(time.monotonic())
        for player in due:
            tick, number = player.due_tick, player.state.next_block
            pcm = player.advance(blocks.get(player.station))
            if tick >= live_tick - PRIMING_TICKS:
                self._publishing.append(self._pool.submit(player.publish, number, pcm))
            if player.is_behind and tick >= live_tick:
                player.is_behind = False
                self._apply_deferred()
        ended_s = time.monotonic()
        self._late_blocks += sum(time_of(player.due_tick - 1) < ended_s for player in due)
        self._step_ms.append((ended_s - begun_s) * 1000)
        for _ in slots:
            if not self._generator.work(slots):
                break
        self._busy_s += time.monotonic() - begun_s

    def _skip_what_is_lost(self, due: list[Player], live_tick: int) -> None:
        """A station that is too late does not chase its listeners, as making every missed block would be late for ever:
        it leaves out what was missed and goes on from there."""
        for player in due:
            lag = live_tick - player.due_tick
            is_chasing = player.is_behind and time.monotonic() < self._chased_until_s[player.station]
            if lag > MAX_LATE_TICKS and not is_chasing:
                self._skipped_s += lag * BLOCK_SECONDS
                self._pipe.send(Happened(player.station, player.skip(lag)))

    def _is_heard(self) -> bool:
        """Whether the front reads what it is told. The music does not wait for one that stands still."""
        return bool(self._room.poll(0))

    def _announce(self, player: Player) -> None:
        """Send the events that are not yet past; after a recovery some are."""
        if not self._is_heard():
            return
        play_head = (tick_at(time.monotonic()) - player.first_tick) * BLOCK_FRAMES
        for event in player.announcements():
            if event["frame"] >= play_head - BLOCK_FRAMES:
                self._pipe.send(Happened(player.station, event))

    # --- house keeping -----------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        if not self._is_heard():
            return
        now_s = time.monotonic()
        for station, player in self._players.items():
            if now_s >= self._next_status_s[station] or player.state.is_sounding != player.is_told_sounding:
                self._next_status_s[station] = now_s + STATUS_S
                self._pipe.send(Happened(station, player.status()))
        # One snapshot a pass: copying the state must not make the next blocks late.
        station = min(self._players, key=self._next_keep_s.__getitem__, default=None)
        if station is not None and now_s >= self._next_keep_s[station]:
            self._next_keep_s[station] = now_s + self._config.snapshot_s
            self._keep(station)
        while self._reports:
            self._pipe.send(self._reports.popleft())
        if self._skipped_s and now_s >= self._may_complain_at_s:
            text = "too slow for %d stations, or stopped for a while: %.1f s left out of the streams"
            log.warning(text, len(self._players), self._skipped_s)
            self._skipped_s, self._may_complain_at_s = 0.0, now_s + COMPLAIN_S
        if now_s - self._health_at_s >= HEALTH_S:
            load = min(1.0, self._busy_s / (now_s - self._health_at_s))
            counted = dict(self._generator.counters())
            grown = {name: count - self._told.get(name, 0) for name, count in counted.items()}
            self._pipe.send(Health(load, tuple(self._step_ms), self._late_blocks, grown))
            self._step_ms.clear()
            self._told = counted
            self._late_blocks, self._busy_s, self._health_at_s = 0, 0.0, now_s

    def _keep(self, station: str) -> None:
        previous = self._keeping.get(station)
        if previous is not None and not previous.done():
            return
        if previous is not None:
            previous.result()
        player = self._players[station]
        kept = Kept(station, player.state.num_controls)
        self._keeping[station] = self._pool.submit(player.keep, player.snapshot(), lambda: self._reports.append(kept))


def _load_generator(config: Config) -> Generator:
    engine_config = EngineConfig(
        backend=config.backend, device=config.device, max_slots=config.max_playing,
        patches=Path(config.patches) if config.patches else None, num_threads=1 if config.num_engines > 1 else None,
    )  # fmt: skip
    return find_factory(config.generator)(engine_config)


def warm_up(generator: Generator) -> None:
    """Go once through all that a station does, so that whatever compiles or loads lazily does so before a deadline."""
    controller = Controller(parse_opening({"mood": "epic"}), 0)
    generator.open(0, controller)
    for block in range(_WARM_UP_BLOCKS):
        generator.step((0,))
        if block == _WARM_UP_BLOCKS // 2:
            steer = parse_control({"type": "steer", "set": {"energy": 0.2}, "at": "beat"})
            applied = controller.apply(steer, (block + 1) * BLOCK_FRAMES)
            if applied.changed_since is not None:
                generator.revise(0, applied.changed_since)
    snapshot = generator.snapshot(0)
    generator.close(0)
    generator.restore(0, controller, snapshot)
    generator.step((0,))
    generator.close(0)
    OpusEncoder().encode(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))


def _end_with_parent(parent: int, runtime_folder: Path) -> None:
    """The front may be killed while the loop is deep in a compiler: then nobody reads the pipe."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(runtime_folder, ignore_errors=True)
    os._exit(0)


def main(descriptor: str) -> int:
    """Run the engine process over the inherited socket `descriptor`.

    The first message holds config, runtime folder and the front's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front ends us in its own time
    prefer_to_others()
    give_way_to_others()
    pipe = Pipe(int(descriptor))
    _, (config, runtime_folder, parent) = pipe.receive()
    open_journal(config.log_level, config.log_json)
    threading.Thread(target=_end_with_parent, args=(parent, runtime_folder), daemon=True).start()

    def report(done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # a front that has gone is noticed elsewhere
            pipe.send(Compiling(done, total))

    try:
        with reported_to(report):
            generator = _load_generator(config)
        warm_up(generator)
        stop_giving_way()
    except EngineError as error:
        pipe.send(Failed(str(error)))
        return 1
    gc.collect()
    gc.freeze()  # what was loaded stays: collecting it again and again would only stall the loop
    Worker(generator, config, pipe, runtime_folder).run()
    shutil.rmtree(runtime_folder, ignore_errors=True)  # the front does it too, unless it was killed
    return 0
