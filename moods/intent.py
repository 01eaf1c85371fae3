"""The target for one moment of music, with units. In: nothing; out: `Intent`. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from moods.harmony import Key
from moods.tune import Tune

# The order of these tuples is part of the model's condition vector and of the token vocabulary: append, never reorder.
LAYERS = ("drums", "bass", "harmony", "texture", "lead")
LANES = ("chords", *LAYERS)
"""What a bar may take from an earlier one: its chords, and each layer's notes."""
STYLES = (
    "lofi", "ambient", "cinematic", "suspense", "synthwave", "house", "chiptune",
    "acoustic", "orchestral", "jazz", "upbeat", "hiphop", "guofeng",
)  # fmt: skip
SECTIONS = ("intro", "A", "B", "break", "outro")
CUES = ("none", "fill", "hit", "cut")
"""What a beat is asked to do besides going on: lead into what follows, be struck by all, fall silent after a hit."""
CADENCES = ("none", "home", "rest", "plagal", "dominant")
"""What the form asks of a beat's harmony: nothing; the tonic's chord; that, and the tune on the tonic; a chord that
leads there, without the dominant or with it."""

BEATS_PER_BAR = 4
CUT_STRENGTH = 0.5
"""From this strength on the beats after a hit are cut."""
MOST_CUT_BEATS = 2
BARS_PER_PHRASE = 4
DEFAULT_NOVELTY = 0.5
NUM_CHORD_FAMILIES = 4
MUTE_DB = -120.0
"""A layer gain at or below this is silence."""


Recall = tuple[tuple[int, float] | None, ...]
"""In the order of LANES: how many bars back the bar is that a lane recalls, and the strength of recall, 0 … 1."""
NO_RECALL: Recall = (None,) * len(LANES)


OPERATIONS = ("repeat", "invert", "rhythm", "stretch")
"""What is done with the notes of an earlier beat: nothing; turned upside down; their rhythm alone; half as fast."""


class Line(NamedTuple):
    """What the lead's notes of one beat are made of."""

    back_beats: int  # how far back the beat lies from which they are taken; 0: they are new
    do: str = "repeat"  # one of OPERATIONS
    steps: int = 0  # of the scale, by which they are moved
    density: float = 0.0  # from which on new notes begin within the beat
    beats_to_breath: int | None = None  # until the lead takes breath, 0 where it does; None: it does not in this bar


Lines = tuple[Line | None, ...]
"""Of the beats of a bar; None: the lead plays what it likes."""
NO_LINES: Lines = (None,) * BEATS_PER_BAR


def num_cut_beats(beat: int, strength: float) -> int:
    """Beats that are silent of onsets after a hit on `beat` (from 0, of the piece): never beyond the bar line."""
    return min(MOST_CUT_BEATS, BEATS_PER_BAR - 1 - beat % BEATS_PER_BAR) if strength >= CUT_STRENGTH else 0


@dataclass(frozen=True, slots=True)
class Character:
    """How a piece differs from the average of its mood, where the mood leaves it open: at novelty 0.5, in proportion at
    any other. As it stands, not at all."""

    liveliness: float = 0.0  # of the tempo, in energy
    density: float = 0.0
    sooner: tuple[float, ...] = (0.0,) * len(LAYERS)  # by what share less energy each layer begins to play
    roots: tuple[float, ...] = (0.0,) * 12  # liking for chords by semitones above the tonic, in logits
    tones: tuple[float, ...] = (0.0,) * 12  # and for notes of harmony and texture
    families: tuple[float, ...] = (0.0,) * NUM_CHORD_FAMILIES  # for chords by moods.character.CHORD_FAMILIES
    grooves: tuple[int, ...] = (0,) * len(LAYERS)  # index into moods.character.GROOVES


@dataclass(frozen=True, slots=True)
class Intent:
    """What the music should be at one position: everything resolved, no nulls.

    `Controller.intent(frame)` gives the colour (what is heard in the next block); `Controller.beat_intent(beat)`
    gives the notes' side, each field held to the beat, bar or phrase at which it may change.
    """

    valence: float  # -1 dark … 1 bright
    energy: float  # 0 still … 1 driving
    tension: float  # 0 resolved … 1 threatening
    style: tuple[float, ...]  # weights in the order of STYLES, sum 1
    bpm: float  # beats a minute, 40 … 240
    key: Key
    density: float  # 0 … 1, notes per beat
    brightness: float  # 0 … 1, spectral colour
    layer_gains_db: tuple[float, ...]  # in the order of LAYERS; MUTE_DB is silence
    active_layers: tuple[bool, ...]  # in the order of LAYERS: which layers play notes here
    temperature: float  # 0.1 … 2, surprise
    loudness_lufs: float  # -19 at energy 0 … -14 at energy 1, moved by the form by -5 … 3
    gain_db: float  # duck and fade-out, 0 is unity
    bar: int  # from 1
    beat: int  # in the bar, from 1
    section: str  # one of SECTIONS
    bar_in_section: int  # from 0
    bars_to_change: int | None  # bars of the section that follow this one; None: nobody knows
    recall: Recall
    cue: str  # of this beat, one of CUES
    # Beats left until the asked ending's last chord (0: this beat is it; negative: it rings); None: endless.
    beats_to_end: int | None
    ring_beats: float = 0.0  # how long the last chord rings from this beat on, where it is struck
    calls_lead: bool = False  # a theme is to begin within this beat
    voice_room: float = 0.0  # 0 … 1, how far 1–4 kHz makes room for a voice
    hit_offset: float = 0.0  # where in the beat all strike, 0 … 1, if the cue is a hit
    hit_strength: float = 0.0  # 0 … 1
    key_ahead: Key | None = None  # the key within a bar from here, where a pivot leads into it; None: the key stays
    beats_to_key: int | None = None  # beats left until it, 4 … 1
    # The stinger under way and the beats since it began; negative where it begins within this beat.
    stinger: tuple[str, float] | None = None
    stinger_over: int | None = None  # that stinger's number, if it is laid over the beat and not written into it
    theme: tuple[Tune, int] | None = None  # that the lead plays here, and nothing else, and the beats since it began
    piece: int = 0  # how many pieces were asked for before this one: it has a band of its own
    piece_beats: int = 0  # since it began, or since the form's themes were new ones
    novelty: float = DEFAULT_NOVELTY  # 0 … 1, how far pieces of a mood lie apart, and from the last hour's tunes
    character: Character = Character()  # of the piece
    texts: tuple[tuple[str, float], ...] = ()  # what the mood was asked for with, and weights; (): by numbers alone
    line: Line | None = None  # what the lead is made of here; None: it plays what it likes
    intensity: float = 0.5  # 0 … 1, the form's own rise and fall under the asked energy
    cadence: str = "none"  # one of CADENCES
    is_half_time: bool = False  # the backbeat is on the third beat
