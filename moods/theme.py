"""Melodies that a user gives: themes, and figures of stingers. In: notes or a MIDI file; out: a `Tune`, in no key.

Remembers nothing; any thread. A tune is kept as steps of a scale: rhythm and contour stay, and in another mode each
note is the same step of that mode.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from statistics import covariance, stdev
from typing import Annotated, Any

import mido
from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema, field_validator, model_validator

from moods.errors import BadControl, OutOfRange, UnknownTheme, shown
from moods.fields import Absent, KeyName, Model, Number, check_name, check_number, parse_part, tidy
from moods.harmony import SCALES, Key, parse_key
from moods.intent import BEATS_PER_BAR
from moods.names import nearest
from moods.tune import Tune, TuneNote, whole_scale

MAX_BARS = 8
GRID = 24
"""Places in a beat on which a note may begin."""
MAX_NOTES_PER_BEAT = 8
MAX_MIDI_BYTES = 8192
MAX_MELODIES = 64
"""Themes, or stingers, of one station."""

_MAX_STINGER_BEATS = 2.0 * BEATS_PER_BAR
_MAX_BEATS = float(MAX_BARS * BEATS_PER_BAR)
_MAX_NOTES = MAX_NOTES_PER_BEAT * MAX_BARS * BEATS_PER_BAR
_MAX_MIDI_BEATS = 10_000
"""No note of a MIDI file lies further from its beginning: what counts further is no music."""
_DRUM_CHANNEL = 9
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_PITCH_NAME = re.compile(r"([A-G])([#♯b♭]?)(-1|[0-9])")
# How much each pitch class above the tonic belongs to a key (Krumhansl and Kessler 1982).
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


# --- what is asked -------------------------------------------------------------------------------------------------


def _read_pitch(pitch: object) -> int:
    if not isinstance(pitch, str):
        number = check_number("pitch", pitch, 0, 127)
        if not number.is_integer():
            raise BadControl(f"pitch is {shown(pitch)}; expected a whole number 0 … 127")
        return int(number)
    match = _PITCH_NAME.fullmatch(pitch.strip()[:1].upper() + pitch.strip()[1:])
    if match is None:
        raise BadControl(f'pitch is {shown(pitch)}; expected a MIDI number 0 … 127 or a name such as "D4" or "Eb5"')
    number = _LETTERS[match[1]] + _ACCIDENTALS[match[2]] + 12 * (int(match[3]) + 1)
    if not 0 <= number <= 127:
        raise OutOfRange("pitch", pitch, 0, 127)
    return number


_Pitch = Annotated[
    int,
    BeforeValidator(_read_pitch),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "integer", "minimum": 0, "maximum": 127, "description": "A MIDI number."},
                {"type": "string", "pattern": "^[A-G][#b]?[0-8]$", "description": "A name; C4 is 60."},
            ]
        }
    ),
]


class MelodyNote(Model):
    """A note of a melody."""

    pitch: _Pitch = Field(examples=["D4"])
    at: Annotated[float, Number("at", 0, _MAX_BEATS - 1 / GRID)]
    """Beats from the bar line with which the melody begins."""
    beats: Annotated[float, Number("beats", 1 / GRID, _MAX_BEATS)] = 1.0
    """How long it is; the next note ends it."""


def _notes_or_midi(schema: dict[str, Any]) -> None:
    tidy(schema)
    schema["oneOf"] = [{"required": ["notes"]}, {"required": ["midi"]}]


class Melody(Model):
    """A melody of up to eight bars of four beats, as notes or as a MIDI file; of notes that sound together the highest
    counts."""

    model_config = {"json_schema_extra": _notes_or_midi}

    notes: Annotated[list[MelodyNote], Field(min_length=1, max_length=_MAX_NOTES)] | Absent = Field(
        default=None, examples=[[{"pitch": "D4", "at": 0}, {"pitch": "A4", "at": 1, "beats": 3}]]
    )
    midi: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})] | Absent = None
    """A MIDI file of up to 8 KiB in base64, instead of notes."""
    key: KeyName | Absent = Field(default=None, examples=["D minor"])
    """What the melody stands in: it tells which step of its scale each note is. Left out: the MIDI file's, or the one
    that the notes fit best."""
    _tune: Tune = PrivateAttr()

    @field_validator("key")
    @classmethod
    def _known_key(cls, text: str | None) -> str | None:
        return None if text is None else str(parse_key(text))

    @model_validator(mode="after")
    def _is_a_tune(self) -> Melody:
        if (self.notes is None) == (self.midi is None):
            both = "both given" if self.notes is not None else "both missing"
            raise BadControl(f"notes and midi are {both}; expected one of them")
        if self.notes is not None:
            notes, key = [(each.at, each.beats, each.pitch) for each in self.notes], None
        else:
            notes, key = _read_midi(self.midi or "")
        line = _top_line(notes)
        self._tune = _tune(line, parse_key(self.key) if self.key is not None else key or find_key(line))
        return self

    @property
    def tune(self) -> Tune:
        """It as it may be played in any key."""
        return self._tune


def _named_melodies(field: str, max_beats: float) -> BeforeValidator:
    """Reads melodies, each by itself, so that an error says whose it is. None may be longer than `max_beats`."""

    def read(melodies: object) -> object:
        if not isinstance(melodies, Mapping):
            raise BadControl(f'{field} is {shown(melodies)}; expected an object such as {{"hero": {{"notes": […]}}}}')
        if len(melodies) > MAX_MELODIES:
            raise BadControl(f"{field} are {len(melodies)}; allowed are up to {MAX_MELODIES}")
        found = {check_name(name, field): parse_part(Melody, melodies[name], f"{field}.{name}") for name in melodies}
        for name, melody in found.items():
            if melody.tune.end > max_beats:
                is_long = f"{field}.{name} is {melody.tune.end:g} beats long"
                raise BadControl(f"{is_long}; allowed are up to {max_beats:g}")
        return found

    return BeforeValidator(read)


_Name = Annotated[str, Field(min_length=1, max_length=64)]


class Melodies(Model):
    """Melodies of a station, by their names."""

    themes: Annotated[dict[_Name, Melody], _named_melodies("themes", _MAX_BEATS)] = Field(
        default={}, examples=[{"hero": {"notes": [{"pitch": "D4", "at": 0, "beats": 4}], "key": "D minor"}}]
    )
    """What the lead plays where a state or a `theme` asks for it, in the key, mode, tempo and style of the moment."""
    stingers: Annotated[dict[_Name, Melody], _named_melodies("stingers", _MAX_STINGER_BEATS)] = Field(
        default={}, examples=[{"coin": {"notes": [{"pitch": "B5", "at": 0}], "key": "E major"}}]
    )
    """Figures of up to two bars beside those that GET /v1/moods lists; where names are the same, these are meant."""


def find_theme(name: str, themes: Mapping[str, Melody]) -> Tune:
    """The theme called `name`. Raises `UnknownTheme`."""
    if name not in themes:
        known = f"known: {', '.join(themes)}" if themes else 'the station was opened without "themes"'
        raise UnknownTheme(name, nearest(name, themes), known)
    return themes[name].tune


# --- reading -------------------------------------------------------------------------------------------------------

_Note = tuple[float, float, int]
"""Onset and length in beats, and MIDI pitch."""


def _read_midi(text: str) -> tuple[list[_Note], Key | None]:
    """The pitched notes of a MIDI file in base64, and its first key signature. Raises `BadControl`."""
    if len(text) > 4 * ceil(MAX_MIDI_BYTES / 3):
        raise BadControl(f"midi has {len(text)} characters; allowed is a file of up to {MAX_MIDI_BYTES // 1024} KiB")
    try:
        song = mido.MidiFile(file=io.BytesIO(base64.b64decode(text, validate=True)), clip=True)
        ticks_per_beat = int(song.ticks_per_beat)
        messages = [*mido.merge_tracks(song.tracks)]
    except binascii.Error:
        raise BadControl(f"midi is {shown(text, 40)}; expected a MIDI file in base64") from None
    except (OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, mido.KeySignatureError) as error:
        raise BadControl(f"midi cannot be read: {error or type(error).__name__}; expected a MIDI file") from None
    if ticks_per_beat <= 0 or ticks_per_beat >= 0x8000:
        raise BadControl("midi counts time in film frames; expected one that counts in beats")
    notes: list[_Note] = []
    begun: dict[tuple[int, int], int] = {}
    now, key = 0, None
    for message in messages:
        now += message.time
        if message.type == "key_signature" and key is None:
            key = parse_key(message.key)
        if message.type not in ("note_on", "note_off") or message.channel == _DRUM_CHANNEL:
            continue
        if now > _MAX_MIDI_BEATS * ticks_per_beat:
            raise BadControl(f"midi has notes after beat {_MAX_MIDI_BEATS}; expected a melody of up to {MAX_BARS} bars")
        start = begun.pop((message.channel, message.note), None)
        if start is not None:
            notes.append((start / ticks_per_beat, (now - start) / ticks_per_beat, message.note))
        if message.type == "note_on" and message.velocity > 0:
            begun[message.channel, message.note] = now
    if not notes:
        raise BadControl("midi has no notes but drums; expected a melody")
    return notes, key


def _top_line(notes: Iterable[_Note]) -> list[_Note]:
    """The highest notes, one after another, on the grid, from the bar line before the first. Raises `BadControl`.

    What begins and ends under a note that is higher accompanies it; what ends later takes over from it.
    """
    line: list[_Note] = []
    for at, beats, pitch in sorted(notes, key=lambda note: (round(note[0] * GRID), -note[2])):
        onset, end = round(at * GRID), max(round(at * GRID) + 1, round((at + beats) * GRID))
        if line and (onset == line[-1][0] or (end <= line[-1][0] + line[-1][1] and pitch < line[-1][2])):
            continue
        if line:
            line[-1] = line[-1][0], min(line[-1][1], onset - line[-1][0]), line[-1][2]
        line.append((onset, end - onset, pitch))
    first = int(line[0][0]) // (BEATS_PER_BAR * GRID) * BEATS_PER_BAR * GRID
    num_bars = ceil((line[-1][0] + 1 - first) / (BEATS_PER_BAR * GRID))
    if num_bars > MAX_BARS:
        raise BadControl(f"the melody has {num_bars} bars of four beats; allowed are 1 … {MAX_BARS}; shorten it")
    beats_of = [int(onset) // GRID for onset, _, _ in line]
    if (most := max(beats_of.count(beat) for beat in set(beats_of))) > MAX_NOTES_PER_BEAT:
        raise BadControl(f"the melody has {most} notes in a beat; allowed are {MAX_NOTES_PER_BEAT}")
    return [((onset - first) / GRID, length / GRID, pitch) for onset, length, pitch in line]


def find_key(notes: Iterable[_Note]) -> Key:
    """The major or minor key whose profile the notes, weighed by their lengths, are most like."""
    weights = [0.0] * 12
    for _, beats, pitch in notes:
        weights[pitch % 12] += beats
    keys = [Key(tonic, scale) for scale in _PROFILES for tonic in range(12)]

    def likeness(key: Key) -> float:
        profile = _PROFILES[key.scale]
        return covariance(weights[key.tonic :] + weights[: key.tonic], profile) / stdev(profile)

    return max(keys, key=likeness)


def _tune(line: list[_Note], key: Key) -> Tune:
    steps = SCALES[whole_scale(key.scale)]
    notes = []
    for onset, beats, pitch in line:
        octave, above = divmod(pitch - key.tonic, 12)
        step = 7 * octave + bisect_right(steps, above) - 1
        altered = None if above in steps else 12 * octave + above
        notes.append(TuneNote(onset, min(beats, _MAX_BEATS - onset), step, altered))
    tune = Tune(tuple(notes), 0)
    return replace(tune, beats=ceil(tune.end / BEATS_PER_BAR) * BEATS_PER_BAR)
