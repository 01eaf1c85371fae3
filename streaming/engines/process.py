"""The engine process from its beginning to its end. In: a socket and what it says first; out: a `Worker` that runs.

Started by its link by way of `undersong_launch`; it ends when the server process does, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS
from engine.backends import find_factory
from engine.compile import reported_to
from engine.config import EngineConfig
from engine.errors import EngineError, UnknownGenerator
from engine.generator import Generator
from engine.performance import Performance, step
from moods.control import Steer
from moods.fields import MoodFields
from moods.opening import Opening
from streaming.children import end_with_parent, remove_folders
from streaming.config import Config
from streaming.encoders.opus import OpusEncoder
from streaming.engines.wire import Compiling, Failed, Pipe
from streaming.engines.worker import Worker
from streaming.journal import open_journal
from streaming.pacing import SWITCH_S, let_others_first, prefer_to_others

log = logging.getLogger(__name__)

_WARM_UP_BLOCKS = 50
_KEEPING_S = 5.0
"""How long stations that outlast the server may take to be kept when it has been killed."""
_DEATH_S = 0.1
"""How long a process that is killed may still be our parent after its pipe has closed."""


def load_generator(config: Config) -> Generator:
    """Raises `EngineError` and nothing else."""
    engine_config = EngineConfig(
        backend=config.backend, device=config.device, max_slots=config.max_playing,
        patches=Path(config.patches) if config.patches else None,
        soundfont=Path(config.soundfont) if config.soundfont else None,
        num_threads=1 if config.num_engines > 1 else None,
    )  # fmt: skip
    factory = find_factory(config.generator)
    try:
        return factory(engine_config)
    except EngineError:
        raise
    except Exception as error:  # whatever a function that is not ours does
        log.debug("generator %s failed", config.generator, exc_info=True)
        raise UnknownGenerator(config.generator, f"{type(error).__name__}: {error}") from None


def warm_up(generator: Generator) -> None:
    """Go once through all that a station does, so that whatever compiles or loads lazily does so before a deadline."""
    opening = Opening(mood="epic")
    performance = Performance(generator, 0, opening, 0)
    for block in range(_WARM_UP_BLOCKS):
        step(generator, [performance])
        if block == _WARM_UP_BLOCKS // 2:
            performance.apply(Steer(set=MoodFields(energy=0.2), at="beat"))
    snapshot = performance.snapshot()
    performance.close()
    performance = Performance.restore(generator, 0, opening, snapshot)
    step(generator, [performance])
    performance.close()
    OpusEncoder().encode(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))


def _remove_after_parent(parent: int, *folders: Path) -> None:
    """Clean up for a server process that was killed; one that lives does it when its last engine has ended."""
    until_s = time.monotonic() + _DEATH_S
    while os.getppid() == parent:
        if time.monotonic() > until_s:
            return
        time.sleep(0.01)
    remove_folders(*folders)


def main(descriptor: str) -> int:
    """Run the engine process over the inherited socket `descriptor`.

    The first message holds config, the folders for rings and for sleepers, those that go with the server, and the
    server process's id.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server process ends us in its own time
    let_others_first()  # an engine that starts must not make the blocks of another late
    pipe = Pipe(int(descriptor))
    _, (config, runtime_folder, sleepers_folder, passing, parent) = pipe.receive()
    open_journal(config.log_level, config.log_json)
    patience_s = _KEEPING_S if sleepers_folder == config.stations_folder else 0.0
    watch = functools.partial(end_with_parent, parent, *passing, patience_s=patience_s)
    threading.Thread(target=watch, daemon=True).start()

    def report(done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # a server process that has gone is noticed elsewhere
            pipe.send(Compiling(done, total))

    try:
        with reported_to(report):
            generator = load_generator(config)
        warm_up(generator)
    except EngineError as error:
        pipe.send(Failed(str(error)))
        return 1
    gc.collect()
    gc.freeze()  # what was loaded stays: collecting it again and again would only stall the loop
    sys.setswitchinterval(SWITCH_S)
    prefer_to_others()
    Worker(generator, config, pipe, runtime_folder, sleepers_folder).run()
    _remove_after_parent(parent, *passing)
    return 0
