"""A stinger by itself, without the music that it belongs over. In: an opening, a seed, the stinger's name; out: sound.

Remembers nothing; the calling thread does the work.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.notes import TICKS_PER_BEAT, notes_to_sounds
from engine.score.stinger import figure_notes, figure_seed
from engine.synth.synth import Synth
from moods.controller import Controller
from moods.harmony import CHORD_QUALITY_NAMES, SCALES
from moods.intent import LAYERS, MUTE_DB
from moods.opening import Opening

_LONGEST_FRAMES = 12 * SAMPLE_RATE
_SILENT = 10 ** (-60 / 20)
_FADE_FRAMES = SAMPLE_RATE // 50


def stinger_sound(opening: Opening, seed: int, name: str, synth: Synth) -> npt.NDArray[np.float32]:
    """[T, 2] of the stinger `name` over the tonic of the opening's key, until it has rung out; `synth` is empty.

    Raises `moods.errors.UnknownStinger`.
    """
    controller = Controller(opening, seed)
    figure, intent = controller.find_stinger(name), controller.beat_intent(0)
    third = "min" if 4 not in SCALES[intent.key.scale] else "maj"
    chord = (intent.key.tonic, CHORD_QUALITY_NAMES.index(third))
    layers = [True] * len(LAYERS)
    notes = figure_notes(figure, intent.key, chord, intent.energy, layers, figure_seed(seed, 0.0))
    frames_per_tick = 60 * SAMPLE_RATE / intent.bpm / TICKS_PER_BEAT
    sounds = notes_to_sounds(notes, 0, frames_per_tick)
    sounds["is_struck"] = sounds["frame"] == 0
    last = round(figure.beats * TICKS_PER_BEAT * frames_per_tick)
    # Layers without notes are silent, also what is always there: rain, dust.
    gains_db = tuple(0.0 if layer in notes["layer"] else MUTE_DB for layer in range(len(LAYERS)))
    heard = replace(controller.intent(0), layer_gains_db=gains_db)
    synth.open(0, seed)
    synth.play(0, sounds)
    blocks: list[npt.NDArray[np.float32]] = []
    while (frame := len(blocks) * BLOCK_FRAMES) < _LONGEST_FRAMES:
        block = synth.render([0], lambda slot, at: heard, BLOCK_FRAMES)[0]
        blocks.append(block.T)
        if frame > last and np.abs(block).max() < _SILENT:
            break
    synth.close(0)
    sound = np.concatenate(blocks)[synth.latency_frames :]
    fade = np.clip(np.arange(len(sound), 0, -1) / _FADE_FRAMES, 0.0, 1.0).astype(np.float32)
    return sound * fade[:, None]
