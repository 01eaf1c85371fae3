"""The course of one station: every field over time, and what follows from them beat by beat.

In: ramps, placed by the controller; out: values at a moment, and `Held`, what stays the same for the length of a beat.
Remembers the tracks, the tempo map and the held beats from the last `forget_before` on. One thread at a time.
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any

from moods.character import character_of, spread_of
from moods.clock import FRAMES_PER_SECOND, Clock, frames_of_beat
from moods.cycles import NEUTRAL
from moods.glide import Moment, Ramp, Track, crossfade
from moods.intent import BEATS_PER_BAR, DEFAULT_NOVELTY, LAYERS, Character
from moods.mood import Mood, style_bpm, style_brightness, style_density, style_thresholds, styles
from moods.part import Reach
from moods.plan import Plan
from moods.sections import Sections

LAYER_TRACKS = tuple(f"layer.{name}" for name in LAYERS)
MUTE_TRACKS = tuple(f"mute.{name}" for name in LAYERS)
COLOUR_TRACKS = frozenset(
    [
        "colour.valence",
        "colour.energy",
        "brightness",
        "mood.brightness",
        "mood.texts",
        "duck",
        "volume",
        "voice",
        "slow",
        *LAYER_TRACKS,
    ]
)
"""Tracks that no note depends on: they may move at any frame. All others move on beats."""
HEARD_TRACKS = tuple(sorted(COLOUR_TRACKS | {"style", "tension"}))
"""Tracks that what is heard of a moment is read from, besides the tempo."""

TEMPO_TRACKS = frozenset(["bpm", "mood.bpm"])
"""Tracks of which the tempo follows, in its own steps."""
_MOST_SETTLING_BEATS = 128

MAX_TEMPO_STEP = 0.1  # of the tempo, in one beat, where nobody said how long the change takes
MOOD_TEMPO_STEP = 0.02  # of the tempo, in one beat, where the mood decides
# Dead zones, so that a value resting on a border does not flap.
TEMPO_DEAD_ZONE = 0.06
ENERGY_DEAD_ZONE = 0.03
STYLE_DEAD_ZONE = 0.05
DRIVING_ENERGY = 0.7
_DARKNESS, _DARK_TENSION = 0.6, 0.3
"""How much darker a scale each unit of tension above the second takes, in valence."""
_DENSITY_RISE, _DENSITY_FALL = 0.8, 0.9
"""Shares of the way to the most and to nothing that the form moves the density at its ends."""


@dataclass(frozen=True, slots=True)
class Held:
    """What stays the same for a beat and depends on the beat before."""

    bpm: float
    mood_bpm: float  # where the mood wants the tempo to go; changes at bars
    scale: str  # that the mood wants; changes at phrases
    style_index: int  # the style that chose the scale
    playing: tuple[bool, ...]  # layers that the energy calls for, in the order of LAYERS
    is_driving: bool
    rate: float  # of slow motion: what the tempo is multiplied by


class Course:
    """Tracks by name, the tempo map and the held beats.

    A name without prefix is what was asked (None: left to the mood), `mood.` what the preset asks, `colour.` the part
    of a field that is heard at once; `layer.` holds fader positions (1 is 0 dB), `mute.` is 1 where a layer is muted.

    Where there is a plan it decides the tempo instead of the mood, to the frame, until a tempo is asked for.
    """

    def __init__(self, seed: int, form: Sections, point: Mood, plan: Plan | None = None) -> None:
        self.form, self._plan = form, plan
        self._seed, self._tonic = seed, random.Random(f"course/{seed}").randrange(12)
        self.clock = Clock(self.bpm_of_beat)
        self._first = 0  # the beat of the first held one
        self._held: list[Held] = []
        self._before: Held | None = None  # the beat before that one
        self.tracks = self._open_tracks(point)
        self._keeps_to_plan = True

    def _open_tracks(self, point: Mood) -> dict[str, Track]:
        def track(base: Any, auto: Any = None, mix: Any = None) -> Track:
            return Track(base, self.clock.frame_of_beat, auto, mix)

        tracks = {name: track(getattr(point, name)) for name in ("valence", "energy", "tension", "style")}
        valence, energy = tracks["colour.valence"], tracks["colour.energy"] = track(point.valence), track(point.energy)
        style, tension = tracks["style"], tracks["tension"]
        notes_valence, notes_energy = tracks["valence"], tracks["energy"]
        autos = {
            "density": lambda at: self._own_density(
                at, style_density(style.value(at), notes_energy.value(at), notes_valence.value(at))
            ),
            "brightness": lambda at: style_brightness(
                style.value(at), energy.value(at), valence.value(at), tension.value(at)
            ),
            "temperature": lambda at: 1.0,
        }
        for name, auto in autos.items():
            mood = tracks[f"mood.{name}"] = track(getattr(point, name), auto)
            tracks[name] = track(None, mood.value)
        tracks["density"] = track(None, self._formed_density)
        tracks |= {"bpm": track(None), "mood.bpm": track(point.bpm), "mood.texts": track((), mix=crossfade)}
        key = None if point.key is None else (point.key.tonic, point.key.scale)
        tracks |= {"key": track(None), "mood.key": track(key), "duck": track(0.0), "volume": track(0.0)}
        tracks |= {"novelty": track(DEFAULT_NOVELTY), "voice": track(0.0), "rate": track(1.0), "slow": track(1.0)}
        tracks |= {name: track(1.0) for name in LAYER_TRACKS} | {name: track(0.0) for name in MUTE_TRACKS}
        return tracks

    def _formed_density(self, at: Moment) -> float:
        """The density of the mood as the form lets it rise and fall; one that is asked for stays as it is."""
        density: float = self.tracks["mood.density"].value(at)
        swing = (self.form.position_of(int(at.beat)).intensity - NEUTRAL) / NEUTRAL
        return density + swing * (_DENSITY_RISE * (1 - density) if swing > 0 else _DENSITY_FALL * density)

    def moment(self, frame: int) -> Moment:
        return Moment(frame, self.clock.beats_at(frame))

    def beat_moment(self, beat: int) -> Moment:
        return Moment(self.clock.frame_of_beat(beat), float(beat))

    def key_at(self, at: Moment) -> tuple[int, str]:
        """Tonic and scale."""
        asked = self.tracks["key"].value(at) or self.tracks["mood.key"].value(at)
        return asked or (self.home_tonic(int(at.beat) // BEATS_PER_BAR), self.held(int(at.beat)).scale)

    def home_tonic(self, bar: int) -> int:
        """The tonic that the form gives to `bar` (from 0) where none is asked for."""
        return (self._tonic + self.form.key_shift(bar)) % 12

    def character(self, beat: int) -> Character:
        """Of the piece that `beat` belongs to."""
        return character_of(self._seed, self.form.piece_of(beat))

    def _own_density(self, at: Moment, density: float) -> float:
        """What a piece makes of the density that its mood has."""
        own = spread_of(self.tracks["novelty"].value(at)) * self.character(int(at.beat)).density
        return min(1.0, max(0.0, density + own))

    def held(self, beat: int) -> Held:
        """What is held during `beat` (from 0)."""
        assert beat >= self._first, (beat, self._first)
        while len(self._held) <= beat - self._first:
            previous = self._held[-1] if self._held else self._before
            self._held.append(self._hold(self._first + len(self._held), previous))
        return self._held[beat - self._first]

    def bpm_of_beat(self, beat: int) -> float:
        # A planned piece's end is asked for at once: nothing is worked out up to there but where beats lie.
        if self._plan is not None and self._keeps_to_plan:
            return self._plan.bpm_at(beat) * self.tracks["rate"].value(self.beat_moment(beat))
        return self.heard_bpm(beat)

    def heard_bpm(self, beat: int) -> float:
        """The tempo of what is held during `beat`, in slow motion too."""
        held = self.held(beat)
        return held.bpm * held.rate

    def composed_bpm(self, beat: int) -> float:
        """The tempo that notes are composed to: not that to which a plan bends it."""
        bpm, plan = self.held(beat).bpm, self._plan
        return bpm if plan is None or bpm != plan.bpm_at(beat) else plan.asked_at(beat)

    def _look_for_tempo(self) -> None:
        """Has no tempo been asked for but the plan's, and is none that was still being left?"""
        track, before = self.tracks["bpm"], self._before
        is_asked = track.base is not None or any(ramp.target is not None for ramp in track.ramps)
        is_off = self._plan is None or (before is not None and before.bpm != self._plan.bpm_at(self._first - 1))
        self._keeps_to_plan = not is_asked and not is_off

    def holds_until(self, at: Moment) -> int:
        """The first frame after `at` at which what is heard may be otherwise: a track or the tempo moves there, or a
        bar has passed, for tempo is not worked out further ahead."""
        beat = int(at.beat)
        last = beat + BEATS_PER_BAR
        bpm = self.heard_bpm(beat)
        moved = next((ahead for ahead in range(beat + 1, last) if self.heard_bpm(ahead) != bpm), last)
        return min(self.clock.frame_of_beat(moved), *(self.tracks[name].holds_until(at) for name in HEARD_TRACKS))

    def reach(self, name: str, ramp: Ramp) -> Reach:
        """Where a ramp of a track begins and has arrived, as things stand; a tempo, where it is settled."""
        begin = self.tracks[name].first_frame(ramp)
        if name in TEMPO_TRACKS:
            return Reach(begin, self.clock.frame_of_beat(self._settled_beat(max(self._first, int(ramp.beat)))))
        length, in_beats = ramp.span
        if in_beats:
            return Reach(begin, self.clock.frame_at(ramp.beat + length))
        return Reach(begin, begin + round(length * FRAMES_PER_SECOND))

    def _settled_beat(self, beat: int) -> int:
        """The first beat from `beat` on whose tempo is the one that is headed for, or the last that is looked at."""
        for ahead in range(beat, beat + _MOST_SETTLING_BEATS):
            held, asked = self.held(ahead), self.tracks["bpm"].ahead(ahead)
            ramp, beats_left = self._tempo_ramp(self.beat_moment(ahead), held)
            wanted = held.mood_bpm if asked is None else asked
            if math.isclose(held.bpm, wanted) and (ramp is None or beats_left == 0):
                return ahead
        return beat + _MOST_SETTLING_BEATS

    def revise(self, beat: int | None, since: float) -> None:
        """Notes have changed from `beat` on (None: not at all), tracks from the beat `since` on: work out anew."""
        self._look_for_tempo()
        if beat is not None:
            self.clock.revise(beat)
            del self._held[max(0, beat - self._first) :]
        for track in self.tracks.values():
            track.revise(since)

    def forget_before(self, at: Moment) -> None:
        """Forget what no read at `at`, where a beat begins, or later depends on."""
        self.held(int(at.beat))
        for track in self.tracks.values():
            track.settle(at)
        for track in self.tracks.values():
            track.forget_before(at)
        kept = self.clock.forget_before(at.frame)
        if kept > self._first:
            self._before = self._held[kept - self._first - 1]
            del self._held[: kept - self._first]
            self._first = kept
        self._look_for_tempo()

    def snapshot(self) -> dict[str, Any]:
        return {
            "beat": self._first,
            "frame": self.clock.frame_of_beat(self._first),
            "before": None if self._before is None else asdict(self._before),
            "held": asdict(self.held(self._first)),  # the ramp that it follows may be over and forgotten
            "tracks": {name: track.snapshot() for name, track in self.tracks.items()},
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._before = None if snapshot["before"] is None else _held_of(snapshot["before"])
        self._first, self._held = snapshot["beat"], [_held_of(snapshot["held"])]
        self.clock.restart(self._first, snapshot["frame"])
        for name, track in self.tracks.items():
            track.restore(snapshot["tracks"][name])
        self._look_for_tempo()

    def _hold(self, beat: int, previous: Held | None) -> Held:
        at = self.beat_moment(beat)
        energy = self.tracks["energy"].value(at)
        mood_bpm = self._mood_bpm(beat, at, energy, previous)
        scale, style_index = self._scale(beat, at, previous)
        thresholds = (*self._own_thresholds(at, style_thresholds(self.tracks["style"].value(at))), DRIVING_ENERGY)
        was_on = (None,) * len(thresholds) if previous is None else (*previous.playing, previous.is_driving)
        on = tuple(map(_switch, repeat(energy), thresholds, was_on))
        bpm = self._bpm(at, mood_bpm, previous)
        return Held(bpm, mood_bpm, scale, style_index, on[:-1], on[-1], self.tracks["rate"].value(at))

    def _mood_bpm(self, beat: int, at: Moment, energy: float, previous: Held | None) -> float:
        if self._plan is not None:
            return self._plan.bpm_at(beat)
        track = self.tracks["mood.bpm"]
        ramp, number = track.ramp_at(beat), None
        if (
            previous is not None
            and ramp is not None
            and ramp.is_exact
            and self._beats_left(track, ramp, at, previous) > -1
        ):
            # It is to arrive at the tempo of the mood as it will be then.
            number, energy = ramp.number, self.tracks["energy"].ahead(beat, ramp.number)
            is_held = beat > ramp.beat and beat % BEATS_PER_BAR != 0
        else:
            is_held = beat % BEATS_PER_BAR != 0
        if previous is not None and is_held:
            return previous.mood_bpm
        preset: float | None = track.ahead(beat)
        if preset is not None:
            return preset
        own = spread_of(self.tracks["novelty"].ahead(beat)) * self.character(beat).liveliness
        drive = min(1.0, max(0.0, energy + own))
        wanted = float(round(style_bpm(self.tracks["style"].ahead(beat, number), drive)))
        if previous is not None and abs(wanted / previous.mood_bpm - 1) < TEMPO_DEAD_ZONE:
            return previous.mood_bpm
        return wanted

    def _own_thresholds(self, at: Moment, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        """From which energy on each layer plays in a piece; what its style never has does not play."""
        spread = spread_of(self.tracks["novelty"].value(at))
        sooner = self.character(int(at.beat)).sooner
        return tuple([
            energy if energy > 1 else energy * (1 - spread * share)
            for energy, share in zip(thresholds, sooner, strict=True)
        ])  # fmt: skip

    def _bpm(self, at: Moment, mood_bpm: float, previous: Held | None) -> float:
        asked = self.tracks["bpm"].ahead(at.beat)
        wanted = mood_bpm if asked is None else asked
        if previous is None:
            return wanted
        if self._plan is not None and asked is None and previous.bpm == previous.mood_bpm:
            return mood_bpm
        ramp, beats_left = self._tempo_ramp(at, previous)
        step = (wanted - previous.bpm) / (beats_left + 1)
        if ramp is not None and ramp.is_exact:
            return wanted if beats_left == 0 else previous.bpm + step
        limit = (MOOD_TEMPO_STEP if asked is None else MAX_TEMPO_STEP) * previous.bpm
        return previous.bpm + min(limit, max(-limit, step))

    def _tempo_ramp(self, at: Moment, previous: Held) -> tuple[Ramp | None, float]:
        """The ramp that leads the tempo at `at`, where a beat begins, and the beats left of it; None and 0 without."""
        names = ("bpm",) if self.tracks["bpm"].ahead(at.beat) is not None else ("bpm", "mood.bpm")
        track, ramp = max(
            ((self.tracks[name], self.tracks[name].ramp_at(at.beat)) for name in names),
            key=lambda row: -1.0 if row[1] is None else row[1].beat,
        )
        if ramp is None or (beats_left := self._beats_left(track, ramp, at, previous)) <= -1:
            return None, 0.0
        return ramp, max(0.0, beats_left)

    def _beats_left(self, track: Track, ramp: Ramp, at: Moment, previous: Held) -> float:
        """Beats from `at`, where one begins, to the end of a ramp, -1 or less where the beat before began after it.

        What is asked in seconds is over with the first beat that begins after them.
        """
        length, in_beats = ramp.span
        if in_beats:
            return ramp.beat + length - at.beat
        frames_left = track.first_frame(ramp) + length * FRAMES_PER_SECOND - at.frame
        return frames_left / frames_of_beat(previous.bpm * previous.rate)

    def _scale(self, beat: int, at: Moment, previous: Held | None) -> tuple[str, int]:
        if previous is not None and not self.form.begins_phrase(beat):
            return previous.scale, previous.style_index
        weights = self.tracks["style"].ahead(beat)  # tempo and scale need not wait for the end of a crossfade
        style_index = max(range(len(weights)), key=weights.__getitem__)
        if previous is not None and weights[previous.style_index] > weights[style_index] - STYLE_DEAD_ZONE:
            style_index = previous.style_index
        before = previous.scale if previous is not None and previous.style_index == style_index else None
        darkness = _DARKNESS * max(0.0, self.tracks["tension"].value(at) - _DARK_TENSION)
        return styles()[style_index].scale_at(self.tracks["valence"].value(at) - darkness, before), style_index


def _held_of(row: dict[str, Any]) -> Held:
    return Held(**row | {"playing": tuple(row["playing"])})


def _switch(energy: float, threshold: float, was_on: bool | None) -> bool:
    zone = 0.0 if was_on is None else (-ENERGY_DEAD_ZONE if was_on else ENERGY_DEAD_ZONE)
    return energy >= threshold + zone
