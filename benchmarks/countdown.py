"""Is it silent when a countdown reaches 0:00, and has the music ended there rather than been cut?

Stations of several moods, as they are and at other tempos, are asked for a countdown in the midst of their music.
`silent_ms` is where the sound falls below -60 dBFS for good, counted from 0:00: below 0 before it. `ring_s` is how long
the last chord has been heard by then. `before_db` is how loud the 100 ms are that end 150 ms before 0:00, against the
second after the chord was struck: what is cut is as loud there, what ends is softer. `struck_late` counts the pieces in
which a note begins after the chord.

    python -m benchmarks.countdown [:SEEDS]
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from benchmarks.harness import percentiles, record
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Performance, step
from moods.control import parse_control
from moods.opening import parse_opening

MOODS = ("focus", "epic", "healing", "night", "sport", "suspense", "comedy", "tech")
TEMPOS = (None, 61.0, 97.0, 143.0)
ASKED_S, SECONDS, AFTER_S = 4.02, 20.0, 0.5
FLOOR_DB = -60.0

Samples = npt.NDArray[np.float32]


def hear(generator: Generator, fields: dict[str, object], seed: int) -> tuple[Samples, npt.NDArray[np.void], int, int]:
    """Frames [T, 2], notes, 0:00 and where the last chord is struck, in frames of the sound."""
    performance = Performance(generator, 0, parse_opening(fields), seed)
    pcm, notes = [], []
    latency = generator.traits.latency_frames
    for block in range(round((ASKED_S + SECONDS + AFTER_S) * SAMPLE_RATE) // BLOCK_FRAMES):
        if block == round(ASKED_S * SAMPLE_RATE) // BLOCK_FRAMES:
            performance.apply(parse_control({"type": "countdown", "seconds": SECONDS, "ending": "cadence"}))
            zero = performance.zero
        sound = step(generator, [performance], notes=True)[0]
        pcm.append(sound.pcm)
        notes += [] if sound.notes is None else [sound.notes]
    controller = performance.controller
    first = controller.beat_at(round(ASKED_S * SAMPLE_RATE))
    last = next(beat for beat in range(first, first + 400) if controller.beat_intent(beat).beats_to_end == 0)
    performance.close()
    assert zero is not None
    return np.concatenate(pcm)[latency:], np.concatenate(notes), zero.frame, controller.frame_of_beat(last)


def level_db(sound: Samples) -> float:
    return float(10 * np.log10(np.square(sound, dtype=np.float64).mean() + 1e-20))


def main(num_seeds: int = 1) -> None:
    generator = open_generator(EngineConfig())
    silent_ms, ring_s, before_db, afterwards_dbfs, num_late = [], [], [], [], 0
    for mood in MOODS:
        for bpm in TEMPOS:
            for seed in range(num_seeds):
                fields = {"mood": mood} | ({} if bpm is None else {"bpm": bpm})
                sound, notes, zero, struck = hear(generator, fields, seed)
                loud = np.flatnonzero(np.abs(sound).max(axis=1) > 10 ** (FLOOR_DB / 20))
                silent_ms.append(float(loud[-1] + 1 - zero) / SAMPLE_RATE * 1000)
                ring_s.append((zero - struck) / SAMPLE_RATE)
                end = zero - round(0.15 * SAMPLE_RATE)
                chord = level_db(sound[struck : struck + SAMPLE_RATE])
                before_db.append(level_db(sound[end - SAMPLE_RATE // 10 : end]) - chord)
                afterwards_dbfs.append(float(20 * np.log10(np.abs(sound[zero:]).max() + 1e-10)))
                num_late += bool((notes["frame"] > struck + SAMPLE_RATE // 20).any())
    record("countdown", {
        "pieces": len(silent_ms), "earliest_silent_ms": round(min(silent_ms), 1), "silent_ms": percentiles(silent_ms),
        "ring_s": percentiles(ring_s, 2), "shortest_ring_s": round(min(ring_s), 2), "before_db": percentiles(before_db),
        "afterwards_dbfs": round(max(afterwards_dbfs), 1), "struck_late": num_late,
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
