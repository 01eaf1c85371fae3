"""What beats are asked to be, as arrays. In: intents; out: rows `ASKED`. Remembers nothing; any thread.

Thousands of stations compose in one batch: conditions, rules and what is recalled are worked out for all beats that
begin together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from moods.harmony import SCALE_NAMES, beside_mode
from moods.intent import (
    CADENCES,
    CUES,
    LANES,
    LAYERS,
    MUTE_DB,
    NUM_CHORD_FAMILIES,
    OPERATIONS,
    SECTIONS,
    STYLES,
    Intent,
    Line,
    Recall,
)

NEVER = float(1 << 30)
"""Bars or beats to what does not come."""
NO_TONIC = -1.0
Asked = npt.NDArray[np.void]
"""Beats [N], rows `ASKED`."""

ASKED = np.dtype(
    [
        ("valence", np.float64),
        ("energy", np.float64),
        ("tension", np.float64),
        ("density", np.float64),
        ("bpm", np.float64),
        ("style", np.float64, len(STYLES)),
        ("tonic", np.float64),
        ("scale", np.float64),  # index into moods.harmony.SCALE_NAMES, as all that has a name has its index here
        ("layers", np.float64, len(LAYERS)),  # 1 plays, 0 is silent, -1 unknown
        ("is_muted", np.float64, len(LAYERS)),  # by the listener
        ("temperature", np.float64),
        ("beat", np.float64),  # in the bar, from 0
        ("section", np.float64),
        ("bar_in_section", np.float64),
        ("bars_to_change", np.float64),  # NEVER where nobody knows
        ("beats_to_end", np.float64),  # NEVER where the music is endless
        ("cue", np.float64),
        ("recall_bars", np.float64, len(LANES)),  # how far back each lane returns; 0: it does not
        ("recall_strength", np.float64, len(LANES)),
        ("hit_offset", np.float64),
        ("hit_strength", np.float64),
        ("tonic_ahead", np.float64),  # of a pivot; NO_TONIC where the key stays
        ("scale_ahead", np.float64),
        ("beats_to_key", np.float64),  # 0 where the key stays
        ("has_stinger", np.float64),
        ("stinger_beats", np.float64),  # since the stinger began
        ("ring_beats", np.float64),  # of the last chord
        ("calls_lead", np.float64),
        ("has_theme", np.float64),
        ("piece", np.float64),
        ("piece_beats", np.float64),
        ("novelty", np.float64),
        ("line_back", np.float64),  # beats back to the one whose notes the lead has; 0: it has none
        ("line_do", np.float64),
        ("line_steps", np.float64),
        ("new_density", np.float64),  # from which on the lead begins a note in the beat at least; NEVER: it need not
        ("beats_to_breath", np.float64),  # of the lead; NEVER in a bar in which it takes none
        ("release", np.float64),  # how far tension has fallen within a bar; the composer knows
        ("intensity", np.float64),
        ("cadence", np.float64),
        ("is_half_time", np.float64),
        ("gleam", np.float64),  # the valence that is not the mode's to tell, -1 … 1
        ("roots", np.float64, 12),  # these four as in moods.intent.Character
        ("tones", np.float64, 12),
        ("families", np.float64, NUM_CHORD_FAMILIES),
        ("grooves", np.float64, len(LAYERS)),
    ]
)
"""Every number is a float64, so that a beat is a plain run of them."""
_NUM_FLOATS = ASKED.itemsize // np.dtype(np.float64).itemsize

NO_CUE, FILL, HIT, CUT = range(len(CUES))
NO_CADENCE, HOME, REST, PLAGAL, DOMINANT = range(len(CADENCES))
_SCALE_INDEX = {name: index for index, name in enumerate(SCALE_NAMES)}
_SECTION_INDEX = {name: index for index, name in enumerate(SECTIONS)}
_OPERATION_INDEX = {name: index for index, name in enumerate(OPERATIONS)}
_CUE_INDEX = {name: index for index, name in enumerate(CUES)}
_CADENCE_INDEX = {name: index for index, name in enumerate(CADENCES)}


@lru_cache(maxsize=4096)
def _recall_numbers(recall: Recall) -> tuple[float, ...]:
    lanes = [lane or (0, 0.0) for lane in recall]
    return (*(bars for bars, _ in lanes), *(strength for _, strength in lanes))


@lru_cache(maxsize=4096)
def _line_numbers(line: Line | None) -> tuple[float, ...]:
    if line is None:
        return 0, 0, 0, NEVER, NEVER
    density = NEVER if line.back_beats else line.density
    breath = NEVER if line.beats_to_breath is None else line.beats_to_breath
    return line.back_beats, _OPERATION_INDEX[line.do], line.steps, density, breath


def _numbers(intent: Intent) -> tuple[float, ...]:
    """An intent in the order of `ASKED`."""
    key, ahead, stinger, own = intent.key, intent.key_ahead, intent.stinger, intent.character
    return (
        intent.valence, intent.energy, intent.tension, intent.density, intent.bpm, *intent.style,
        key.tonic, _SCALE_INDEX[key.scale], *intent.active_layers, *[gain <= MUTE_DB for gain in intent.layer_gains_db],
        intent.temperature, intent.beat - 1, _SECTION_INDEX[intent.section], intent.bar_in_section,
        NEVER if intent.bars_to_change is None else intent.bars_to_change,
        NEVER if intent.beats_to_end is None else intent.beats_to_end,
        _CUE_INDEX[intent.cue], *_recall_numbers(intent.recall), intent.hit_offset, intent.hit_strength,
        *((NO_TONIC, 0) if ahead is None else (ahead.tonic, _SCALE_INDEX[ahead.scale])), intent.beats_to_key or 0,
        *((0, 0) if stinger is None else (1, stinger[1])), intent.ring_beats,
        intent.calls_lead, intent.theme is not None, intent.piece, intent.piece_beats,
        intent.novelty, *_line_numbers(intent.line), 0,
        intent.intensity, _CADENCE_INDEX[intent.cadence], intent.is_half_time, beside_mode(intent.valence),
        *own.roots, *own.tones, *own.families, *own.grooves,
    )  # fmt: skip


def asked_of(intents: Sequence[Intent]) -> Asked:
    return np.array([_numbers(intent) for intent in intents], np.float64).reshape(-1, _NUM_FLOATS).view(ASKED)[:, 0]
