"""Where drum strokes fall beside their ticks. In: notes, and what their beats are asked to be; out: how many ticks they
come late. Remembers a table; any thread.

A tick is a twenty-fourth of a beat, 28 ms at 90 beats a minute; a drummer's habits are finer. By kind of playing, voice
and sixteenth of the bar, `hands.json` has how late drummers are on average, counted in the Groove MIDI Dataset (Gillick
et al. 2019) by the code that trains. A stroke within a tick of a sixteenth is played where they play it.
"""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from engine.notes import DRUM_PITCHES, TICKS_PER_BEAT
from engine.score.asked import NO_CUE, Asked
from engine.score.columns import Ints
from moods.intent import BEATS_PER_BAR, STYLES

Ticks = npt.NDArray[np.float64]

_STRAIGHT, _SWUNG_EIGHTHS, _SWUNG_SIXTEENTHS = (0, 6, 12, 18), (0, 8, 16, 20), (0, 8, 12, 20)
"""Ticks of the four sixteenths of a beat."""
# Whose habits a style has, and the sixteenths that it plays; what is not here is played by a machine.
_HANDS = {
    "lofi": ("hiphop", _SWUNG_SIXTEENTHS),
    "ambient": ("latin", _STRAIGHT),
    "cinematic": ("rock", _STRAIGHT),
    "suspense": ("latin", _STRAIGHT),
    "acoustic": ("latin", _STRAIGHT),
    "orchestral": ("rock", _STRAIGHT),
    "jazz": ("jazz", _SWUNG_EIGHTHS),
    "upbeat": ("rock", _STRAIGHT),
    "hiphop": ("hiphop", _SWUNG_SIXTEENTHS),
    "guofeng": ("latin", _STRAIGHT),
}
_NEAR_TICKS = 1
_MOST_LATE_TICKS = 0.9
"""What is further off in the table is another rhythm and not a habit."""
VOICES = {
    "kick": "kick", "snare": "snare", "rim": "snare", "clap": "snare", "closed hat": "hat", "pedal hat": "hat",
    "open hat": "hat", "ride": "ride", "ride bell": "ride", "shaker": "hat", "tambourine": "hat", "cowbell": "ride",
    "crash": "tom", "low tom": "tom", "mid tom": "tom", "high tom": "tom",
    "low hand drum": "tom", "high hand drum": "tom",
}  # fmt: skip
"""What one limb plays alike."""
_NUM_PITCHES = 128


def _lateness() -> Ticks:
    """[styles, MIDI notes, ticks of a bar]: ticks from where a stroke is written to where it is played."""
    habits = json.loads((files("engine.score") / "hands.json").read_text(encoding="utf-8"))
    table = np.zeros((len(STYLES), _NUM_PITCHES, BEATS_PER_BAR, TICKS_PER_BEAT))
    for style, (hand, grid) in _HANDS.items():
        downbeat = habits[hand]["kick"][0]  # the beat itself stays where the clock has it
        for pitch, name in DRUM_PITCHES.items():
            for sixteenth, habit in enumerate(habits[hand][VOICES[name]]):
                beat, step = divmod(sixteenth, len(grid))
                late = habit - downbeat
                late = late if abs(late) <= _MOST_LATE_TICKS else 0.0
                for tick in range(max(0, grid[step] - _NEAR_TICKS), grid[step] + _NEAR_TICKS + 1):
                    table[STYLES.index(style), pitch, beat, tick] = max(0.0, grid[step] + late) - tick
    return table


_LATENESS = _lateness()


def ticks_late(notes: npt.NDArray[np.void], asked: Asked, of: Ints) -> Ticks:
    """[M] of notes [M] NOTE, ticks from their beat; `of` [M] is each one's row of `asked` [N]. Nothing is played before
    its beat; where a cue says when to strike, and where no drums play, all is as written."""
    late = np.zeros(len(notes))
    is_played = np.flatnonzero((notes["layer"] == 0) & (asked["cue"] == NO_CUE)[of])
    notes, of, beat = notes[is_played], of[is_played], asked["beat"].astype(np.int64)
    weights, lateness = asked["style"][of], _LATENESS[:, notes["pitch"], beat[of], notes["tick"]]
    for number in np.flatnonzero(weights.any(axis=0)).tolist():
        late[is_played] += weights[:, number] * lateness[number]
    return late
