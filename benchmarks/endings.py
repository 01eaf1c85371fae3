"""How long is it quiet at the end of a piece, and how does a loop go over its seam?

Pieces of twelve seconds in all styles, still and driving. `silent_s` is what lies behind the last 50 ms above -50 dBFS.
A loop is laid end to end: `level_db` is how much louder the half second after the seam is than the one before,
`flux_db` how much spectrum begins there, against what there was; both less the most of the same at its bar lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.harness import percentiles, record
from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.render import begin, perform
from engine.take import Take
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, STYLES
from moods.opening import Opening, parse_opening

LENGTH_S, ENERGIES, FLOOR_DB = 12, (0.3, 0.75), -50.0
_WINDOW_FRAMES = SAMPLE_RATE // 20
_FRAME = 2048

Mono = npt.NDArray[np.float64]


def hear(generator: Generator, opening: Opening, seed: int) -> npt.NDArray[np.float32]:
    """Frames [T, 2] of the whole piece."""
    assert opening.timeline is not None
    blocks = perform(begin(generator, Take(opening, seed)), opening.timeline.num_frames)
    return np.concatenate([block[0].T for block in blocks])


def silent_s(sound: npt.NDArray[np.float32]) -> float:
    """Seconds behind the last window that is above the floor."""
    windows = sound[len(sound) % _WINDOW_FRAMES :].reshape(-1, 2 * _WINDOW_FRAMES).astype(np.float64)
    is_heard = np.square(windows).mean(axis=1) > 10 ** (FLOOR_DB / 10)
    return (len(windows) - 1 - int(np.flatnonzero(is_heard)[-1])) * _WINDOW_FRAMES / SAMPLE_RATE


def level_step_db(sound: Mono, at: int) -> float:
    half = SAMPLE_RATE // 2
    return float(10 * np.log10(np.square(sound[at : at + half]).mean() / np.square(sound[at - half : at]).mean()))


def flux_db(sound: Mono, at: int) -> float:
    before, after = (
        np.abs(np.fft.rfft(sound[start : start + _FRAME] * np.hanning(_FRAME))) for start in (at - _FRAME, at)
    )
    return float(20 * np.log10(np.maximum(0, after - before).sum() / before.sum()))


def seam(generator: Generator, opening: Opening, seed: int) -> tuple[float, float]:
    """Level and flux at the seam against the bar lines."""
    once = hear(generator, opening, seed).mean(axis=1).astype(np.float64)
    sound, controller = np.concatenate([once, once]), Controller(opening, seed)
    bars = [
        controller.frame_of_beat(beat) for beat in range(BEATS_PER_BAR, controller.beat_at(len(once) - SAMPLE_RATE), 4)
    ]

    def beside(measure: Callable[[Mono, int], float]) -> float:
        return measure(sound, len(once)) - max(measure(sound, bar) for bar in bars)

    return beside(level_step_db), beside(flux_db)


def main(num_seeds: int = 1) -> None:
    generator = open_generator(EngineConfig())
    silence: dict[str, list[float]] = {}
    levels, fluxes = [], []
    for style in STYLES:
        for energy in ENERGIES:
            for seed in range(num_seeds):
                fields = {"duration": LENGTH_S, "style": style, "energy": energy}
                for how in ("cadence", "ring", "fade", "stop"):
                    sound = hear(generator, parse_opening({"timeline": fields | {"ending": how}}), seed)
                    silence.setdefault(how, []).append(silent_s(sound))
                level, flux = seam(generator, parse_opening({"timeline": fields | {"ending": "loop"}}), seed)
                levels.append(level)
                fluxes.append(flux)
    record("endings", {
        "pieces": sum(map(len, silence.values())),
        "silent_s": {how: percentiles(seconds, 2) for how, seconds in silence.items()},
        "loops": len(levels), "level_db": percentiles(levels), "flux_db": percentiles(fluxes),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
