"""Small arrangements and intents for the synth's tests, made in code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import PatchTables, shipped_tables
from engine.synth.synth import Synth
from moods.harmony import Key
from moods.intent import NO_RECALL, STYLES, Intent


def intent(
    style: str | Mapping[str, float] = "lofi",
    *,
    energy: float = 0.5,
    brightness: float = 0.5,
    bpm: float = 100.0,
    gains_db: tuple[float, ...] = (0.0,) * 5,
    loudness_lufs: float = -16.0,
    gain_db: float = 0.0,
    voice_room: float = 0.0,
) -> Intent:
    weights = {style: 1.0} if isinstance(style, str) else style
    return Intent(
        valence=0.0, energy=energy, tension=0.0, style=tuple(weights.get(name, 0.0) for name in STYLES), bpm=bpm,
        key=Key(0, "major"), density=0.5, brightness=brightness, layer_gains_db=gains_db, active_layers=(True,) * 5,
        temperature=1.0, loudness_lufs=loudness_lufs, gain_db=gain_db, voice_room=voice_room, bar=1, beat=1,
        section="A", bar_in_section=0,
        bars_to_change=None, recall=NO_RECALL, cue="none",
        beats_to_end=None,
    )  # fmt: skip


def arrangement(seconds: float, bpm: float = 100.0, drums: bool = True) -> npt.NDArray[np.void]:
    """Four chords in a loop: drums, bass, chords, texture and a broken-chord lead."""
    beat_frames = 60 * SAMPLE_RATE / bpm
    rows: list[tuple[int, int, int, int, int]] = []

    def add(beat: float, beats: float, layer: int, pitch: int, velocity: int) -> None:
        rows.append((int(beat * beat_frames), int(beats * beat_frames), layer, pitch, velocity))

    for beat in range(int(seconds * SAMPLE_RATE / beat_frames)):
        root = (0, 9, 5, 7)[beat // 4 % 4]
        third = 3 if root == 9 else 4
        if drums:
            add(beat, 0.5, 0, 36 if beat % 2 == 0 else 38, 100)
            for half in (0, 0.5):
                add(beat + half, 0.2, 0, 42, 70)
            if beat % 8 == 0:
                add(beat, 1, 0, 49, 90)
        add(beat, 0.9, 1, 36 + root, 90)
        if beat % 4 == 0:
            for step in (0, third, 7, 11 if root in (0, 5) else 10):
                add(beat, 3.8, 2, 60 + (root + step) % 12, 75)
            add(beat, 3.9, 3, 67, 65)
        add(beat, 0.5, 4, 72 + (root + (0, third, 7)[beat % 3]) % 12, 85)
    return as_sounds(rows)


def play(
    seconds: float,
    intent_of: Callable[[int, int], Intent],
    sounds: npt.NDArray[np.void],
    seed: int = 3,
    tables: PatchTables | None = None,
) -> npt.NDArray[np.float32]:
    """One slot from frame 0: float32 [2, T]."""
    synth = Synth(1, tables=tables)
    synth.open(0, seed)
    synth.play(0, sounds)
    return synth.render([0], intent_of, int(seconds * SAMPLE_RATE))[0]


def play_lead(patch: str, notes: list[tuple[float, float, int, int]], seconds: float, **fields: float) -> npt.NDArray:
    """Notes of (seconds, length in seconds, pitch, velocity) on one patch by itself: [2, T] before the master."""
    synth = Synth(1, tables=shipped_tables().alone(patch, **fields))
    synth.open(0, 1)
    rows = [(int(at * SAMPLE_RATE), int(length * SAMPLE_RATE), 4, pitch, hit) for at, length, pitch, hit in notes]
    synth.play(0, as_sounds(rows))
    steady = intent("chiptune")
    _, stems = synth.render_stems([0], lambda slot, frame: steady, int(seconds * SAMPLE_RATE))
    return stems[0, 4].astype(np.float64)
