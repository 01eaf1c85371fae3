"""One station's course. In: controls and the frame at which they came; out: intents for any frame or beat, pure reads.

Remembers the course from the last `forget_before` on, whatever the length of the station's life. One thread at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, assert_never

from moods.clock import FRAMES_PER_SECOND, Clock, Position
from moods.control import (
    Cancel,
    Control,
    Duck,
    End,
    Hit,
    Opening,
    Panic,
    Steer,
    Stinger,
    Transport,
)
from moods.course import COLOUR_TRACKS, LAYER_TRACKS, MUTE_TRACKS, Course
from moods.cues import FILL_ENERGY, Cues, Planned, is_filled
from moods.ending import BEATS, FADE_SECONDS, Ending, plan_ending
from moods.errors import BadControl, shown
from moods.form import Place, layers_let_in, place_at
from moods.glide import AT_ONCE, Moment, Ramp, Span, Texts
from moods.harmony import Key
from moods.intent import BEATS_PER_BAR, LAYERS, MUTE_DB, NO_RECALL, Intent
from moods.mood import DEFAULT_MOOD, Mood, find_mood, style_brightness, style_names
from moods.pivot import Pivots
from moods.targets import PLACES, point_of, targets_of

LEAD_FRAMES = FRAMES_PER_SECOND * 60 // 1000
BLOCK_FRAMES = FRAMES_PER_SECOND // 50
"""What a generator that says nothing else needs."""

_STEPS = frozenset({"key", "mood.key", "mood.bpm"})
_DEFAULT_SPANS = dict.fromkeys(("style", "mood.texts"), Span(float(BEATS_PER_BAR), in_beats=True))
_TEMPO_GLIDE = Span(2.0 * BEATS_PER_BAR, in_beats=True)
_TEMPO_JUMP = 0.03  # a smaller change of tempo needs no glide
_DRUMS, _LEAD = LAYERS.index("drums"), LAYERS.index("lead")


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a control."""

    id: str | None
    effective: Position  # the earliest audible change; of a hit the accent, whose pickup is in `fields`
    fields: dict[str, Position]  # where each field begins to change
    changed_since: int | None  # the music frame from which on notes may be composed otherwise; None: all are as before


@cache
def _key(tonic: int, scale: str) -> Key:
    return Key(tonic, scale)


def _fader(gain_db: float | str) -> float:
    """Fader position of a gain: 40 log10, so that a straight fade in and out sounds even. 0 is mute."""
    return 0.0 if isinstance(gain_db, str) else 10 ** (gain_db / 40)


def _fader_db(fader: float) -> float:
    if fader == 1.0:
        return 0.0
    return max(MUTE_DB, 40 * math.log10(fader)) if fader > 0 else MUTE_DB


class Controller:
    """The course of one station, from its opening on.

    The same controls at the same frames give the same intents, whatever was read in between. Frames are music frames:
    a paused station's controller stands still. Without a seed in either place the seed is 0.

    Who makes the sound tells two things: notes may change from the first beat that begins at least `lead_frames` after
    the frame being made; gains are read where a block of `block_frames` begins and reached where it ends.
    """

    def __init__(
        self,
        opening: Opening | Mood,
        seed: int | None = None,
        *,
        lead_frames: int = LEAD_FRAMES,
        block_frames: int = BLOCK_FRAMES,
    ) -> None:
        fields = opening if isinstance(opening, Opening) else Opening()
        point = opening if isinstance(opening, Mood) else point_of(fields) or find_mood(DEFAULT_MOOD)
        self.seed = seed if seed is not None else fields.seed or 0
        self.revision = 0
        """Grows with every control: what was read of later frames may then be stale."""
        self._lead_frames, self._block_frames = lead_frames, block_frames
        self._course = Course(self.seed, point)
        self._ending: Ending | None = None
        self._cues = Cues(self._course.clock)
        self._pivots = Pivots(self._course)
        tracks = self._course.tracks
        for field, target in targets_of(fields).items():
            for name, _ in PLACES[field]:
                tracks[name].base = target
        for layer, gain in (fields.layers or {}).items():
            tracks[f"layer.{layer}"].base, tracks[f"mute.{layer}"].base = _fader(gain), float(gain == "mute")

    # --- reads -----------------------------------------------------------------------------------------------------

    def intent(self, frame: int) -> Intent:
        """What is heard at `frame`: colour as it is there, the notes' side as of that moment."""
        course = self._course
        at = course.moment(frame)
        track = course.tracks
        gains = tuple([_fader_db(track[name].value(at)) for name in LAYER_TRACKS])
        gain_db = track["duck"].value(at) + (self._ending.gain_db(frame, self._block_frames) if self._ending else 0.0)
        valence, energy = track["colour.valence"].value(at), track["colour.energy"].value(at)
        brightness, voice_room = track["brightness"].value(at), track["voice"].value(at)
        texts = track["mood.texts"].value(at)
        return self._intent(at, valence, energy, brightness, gains, max(MUTE_DB, gain_db), voice_room, texts)

    def holds_until(self, frame: int) -> int:
        """The first frame after `frame` at which what is heard of `intent` (loudness, energy, brightness, tempo, gains,
        voice room, style, texts) may be otherwise, as long as no control comes; `frame + 1` in the middle of a glide.

        Never too late; at most a bar ahead.
        """
        held = self._course.holds_until(frame)
        return held if self._ending is None else min(held, self._ending.holds_until(frame, self._block_frames))

    def beat_intent(self, beat: int) -> Intent:
        """What the notes of `beat` (from 0) are composed from. It changes only from an `Applied.changed_since` on.

        No gains here but mutes, no texts, and brightness as the style has it: how notes are mixed does not change them.
        """
        course = self._course
        at = course.beat_moment(beat)
        track = course.tracks
        gains = tuple([MUTE_DB if track[name].value(at) else 0.0 for name in MUTE_TRACKS])
        valence, energy = track["valence"].value(at), track["energy"].value(at)
        brightness = style_brightness(track["style"].value(at), energy, valence)
        return self._intent(at, valence, energy, brightness, gains, 0.0, 0.0)

    @property
    def clock(self) -> Clock:
        """The tempo map, to read from."""
        return self._course.clock

    def frame_of_beat(self, beat: int) -> int:
        """The first frame of `beat` (from 0)."""
        return self._course.clock.frame_of_beat(beat)

    def beat_at(self, frame: int) -> int:
        """The beat (from 0) that sounds at `frame`."""
        return self._course.clock.beat_at(frame)

    def position(self, frame: int) -> Position:
        """Bar, beat and tempo at `frame`."""
        return self._course.clock.position(frame)

    def heading(self) -> dict[str, Any]:
        """Where the mood is going: the point that all controls taken so far lead to, in the terms of the interface."""
        tracks = self._course.tracks
        point = {name: tracks[name].final() for name in ("valence", "energy", "tension")}
        return point | {"style": style_names(tracks["style"].final())}

    @property
    def end_frame(self) -> int | None:
        """Silence from this frame on; None while no ending is asked."""
        return None if self._ending is None else self._ending.end_frame

    def _intent(
        self, at: Moment, valence: float, energy: float, brightness: float, gains: tuple[float, ...], gain_db: float,
        voice_room: float, texts: Texts = (),
    ) -> Intent:  # fmt: skip
        course = self._course
        track = course.tracks
        beat = int(at.beat)
        bar, beat_in_bar = divmod(beat, BEATS_PER_BAR)
        held = course.held(beat)
        place, beats_to_end = self._place(beat, bar)
        let_in = layers_let_in(place.section, place.bar_in_section, held.is_driving)
        is_over = beats_to_end is not None and beats_to_end < 0
        active = [
            playing and allowed and not is_over and not track[name].value(at) and layer != place.resting
            for name, layer, playing, allowed in zip(MUTE_TRACKS, LAYERS, held.playing, let_in, strict=True)
        ]
        cue, hit = ("none", None) if is_over else self._cues.cue_at(beat)
        if cue == "none" and active[_DRUMS] and beats_to_end is None and is_filled(self.seed, bar):
            is_near = beat_in_bar == BEATS_PER_BAR - 1 or beat_in_bar == BEATS_PER_BAR - 2 and energy >= FILL_ENERGY
            cue = "fill" if is_near else "none"
        stinger = None if is_over else self._cues.stinger_at(beat)
        if stinger is not None:
            active[_LEAD] = False
        key = course.key_at(at)
        pivot = self._pivots.ahead_of(beat)
        if pivot is not None and pivot.key == key:
            pivot = None
        return Intent(
            valence=valence,
            energy=energy,
            tension=track["tension"].value(at),
            style=track["style"].value(at),
            bpm=held.bpm,
            key=_key(*key),
            density=track["density"].value(at),
            brightness=brightness,
            layer_gains_db=gains,
            active_layers=tuple(active),
            temperature=track["temperature"].value(at),
            loudness_lufs=-19.0 + 5.0 * energy,
            gain_db=gain_db,
            voice_room=voice_room,
            bar=bar + 1,
            beat=beat_in_bar + 1,
            section=place.section,
            bar_in_section=place.bar_in_section,
            bars_to_change=place.bars_to_change,
            recall=place.recall,
            cue=cue,
            beats_to_end=beats_to_end,
            hit_offset=0.0 if hit is None or cue != "hit" else hit.offset,
            hit_strength=0.0 if hit is None or cue != "hit" else hit.strength,
            key_ahead=None if pivot is None else _key(*pivot.key),
            beats_to_key=None if pivot is None else pivot.key_beat - beat,
            stinger=None if stinger is None else (stinger.stinger, beat - stinger.beat - stinger.offset),
            stinger_over=stinger.number if stinger is not None and stinger.is_over else None,
            texts=texts,
        )

    def _place(self, beat: int, bar: int) -> tuple[Place, int | None]:
        """Place in the form, and beats to the last chord."""
        ending = self._ending
        if ending is None or ending.first_beat is None or ending.last_beat is None or beat < ending.first_beat:
            return place_at(self.seed, bar), None
        bar_in_outro = bar - ending.first_beat // BEATS_PER_BAR
        return Place("outro", bar_in_outro, None, NO_RECALL), ending.last_beat - beat

    # --- controls --------------------------------------------------------------------------------------------------

    def apply(self, control: Control, frame: int) -> Applied:
        """Take a control; `frame` is the first music frame not yet rendered. Nothing changes before what is effective.

        Raises `BadControl` or `OutOfRange` and leaves the course as it was.
        """
        applied = self._apply(control, frame)
        self.revision += 1
        return applied

    def _apply(self, control: Control, frame: int) -> Applied:
        match control:
            case Steer():
                return self._steer(control, frame)
            case Duck():
                beat = self._course.moment(frame).beat
                voice = None if control.voice is None else float(control.voice)
                asked = {"duck": control.gain_db, "voice": voice}
                ramps = [
                    (name, Ramp(beat, frame, control.span, target, control.id))
                    for name, target in asked.items()
                    if target is not None
                ]
                return self._commit(control.id, frame, ramps)
            case End():
                return self._end(control, frame)
            case Hit() | Stinger():
                return self._cue(control, frame)
            case Cancel():
                return self._cancel(control, frame)
            case Transport() | Panic():
                return Applied(control.id, self.position(frame), {}, None)
            case _:
                assert_never(control)

    def _earliest_beat(self, frame: int) -> int:
        return self._course.clock.first_beat_from(frame + self._lead_frames)

    def _steer(self, control: Steer, frame: int) -> Applied:
        changes: list[tuple[str, Ramp]] = []
        tracks = self._course.tracks
        for field, target in targets_of(control.set).items():
            for name, default_at in PLACES[field]:
                if field.startswith("mood.") and target is None and tracks[name].final() is None:
                    continue
                ramp = self._ramp(name, control.at or default_at, frame, control.id)
                ramp.target, ramp.span = target, self._span(name, control.span, target, ramp)
                changes.append((name, ramp))
        for layer, gain in (control.set.layers or {}).items():
            ramp = self._ramp(f"layer.{layer}", control.at or "now", frame, control.id)
            ramp.target, ramp.span = _fader(gain), control.span or AT_ONCE
            changes.append((f"layer.{layer}", ramp))
            changes += self._mute(layer, ramp, frame)
        return self._commit(control.id, frame, changes)

    def _ramp(self, track: str, at: str, frame: int, control_id: str | None) -> Ramp:
        """A ramp of `track` at its place; colour can move between beats, notes cannot."""
        if at == "now" and track in COLOUR_TRACKS:
            return Ramp(self._course.clock.beats_at(frame), frame, AT_ONCE, None, control_id)
        beat = -(-self._earliest_beat(frame) // BEATS[at]) * BEATS[at]
        return Ramp(float(beat), None, AT_ONCE, None, control_id)

    def _span(self, track: str, asked: Span | None, target: Any, ramp: Ramp) -> Span:
        if track in _STEPS:
            return AT_ONCE
        if asked is None and track == "bpm" and target is not None:
            before = self._course.held(max(0, int(ramp.beat) - 1)).bpm
            return _TEMPO_GLIDE if abs(target / before - 1) > _TEMPO_JUMP else AT_ONCE
        return asked or _DEFAULT_SPANS.get(track, AT_ONCE)

    def _mute(self, layer: str, fade: Ramp, frame: int) -> list[tuple[str, Ramp]]:
        """The notes' side of a layer's gain: a muted layer plays no notes once its fade is over."""
        mute = float(fade.target == 0)
        if mute == self._course.tracks[f"mute.{layer}"].final():
            return []
        beat = fade.beat
        if mute and fade.span.in_beats:
            beat += fade.span.length
        elif mute:
            clock = self._course.clock
            start = clock.frame_of_beat(int(beat)) if fade.frame is None else fade.frame
            beat = clock.beats_at(start + round(fade.span.length * FRAMES_PER_SECOND))
        beat = max(math.ceil(beat), self._earliest_beat(frame))
        return [(f"mute.{layer}", Ramp(float(beat), None, AT_ONCE, mute, fade.id))]

    def _cancel(self, control: Cancel, frame: int) -> Applied:
        now, earliest = self._course.clock.beats_at(frame), self._earliest_beat(frame)
        gone: list[tuple[str, Ramp]] = []
        for name, track in self._course.tracks.items():
            removed = track.remove(control.id, now if name in COLOUR_TRACKS else earliest)
            gone += [(name, ramp) for ramp in removed]
        ending = self._ending
        is_waiting = ending is not None and ending.fade_frame > frame and (ending.first_beat or earliest) >= earliest
        if ending is not None and is_waiting and ending.control.id == control.id:
            self._ending = None
            applied = self._commit(control.id, frame, gone, is_removal=True)
            start = self.position(self._first_frame(ending))
            fields = applied.fields | {"ending": start}
            changed_since = _least(applied.changed_since, self._since(ending.first_beat))
            return Applied(control.id, _earliest(fields), fields, changed_since)
        cues = self._cues.cancel(control.id, frame, earliest)
        if not gone and not cues:
            raise BadControl(f"id is {shown(control.id)}; no control of that id is still waiting to take effect")
        applied = self._commit(control.id, frame, gone, is_removal=True)
        if not cues:
            return applied
        fields = applied.fields | {name: at for cue in cues for name, at in self._fields_of(cue).items()}
        changed_since = _least(applied.changed_since, *(self._since(cue.first_beat) for cue in cues))
        return Applied(control.id, _earliest(fields), fields, changed_since)

    def _cue(self, control: Hit | Stinger, frame: int) -> Applied:
        """Place a hit or stinger."""
        earliest, ending = self._earliest_beat(frame), self._ending
        cue = self._cues.plan(control, frame, earliest)
        if ending is not None:
            is_last = ending.last_beat is not None and cue.beat > ending.last_beat
            if is_last or self._cues.frame_of(cue) >= ending.end_frame:
                seconds = ending.end_frame / FRAMES_PER_SECOND
                raise BadControl(
                    f"{control.type} comes too late: the music ends at {seconds:.2f} s; ask for it earlier"
                )
        self._cues.add(cue)
        fields = self._fields_of(cue)
        return Applied(control.id, fields[control.type], fields, self._since(max(earliest, cue.first_beat)))

    def _fields_of(self, cue: Planned) -> dict[str, Position]:
        """Where a hit or stinger sounds, and where its pickup begins."""
        fields = {"hit" if cue.stinger is None else "stinger": self.position(self._cues.frame_of(cue))}
        if cue.fill_beat is not None:
            fields["pickup"] = self.position(self.frame_of_beat(cue.fill_beat))
        return fields

    def cues_within(self, first_beat: int, last_beat: int) -> list[tuple[Planned, Position]]:
        """The hits and stingers that sound on the beats `first_beat` … `last_beat`, and where."""
        return [(cue, self.position(self._cues.frame_of(cue))) for cue in self._cues.within(first_beat, last_beat)]

    def cues_over(self, frame: int) -> list[Planned]:
        """The hits and stingers laid over the music that have begun before `frame`, in the order of beginning."""
        return self._cues.over_before(frame)

    def _commit(
        self, control_id: str | None, frame: int, changes: list[tuple[str, Ramp]], is_removal: bool = False
    ) -> Applied:
        """Put the ramps into the course and say where each field begins to change."""
        if not changes:
            return Applied(control_id, self.position(frame), {}, None)
        course = self._course
        if not is_removal:
            for name, ramp in changes:
                course.tracks[name].insert(ramp)
        note_beats = [int(ramp.beat) for name, ramp in changes if name not in COLOUR_TRACKS]
        first_beat = min(note_beats, default=None)
        course.revise(first_beat, min(ramp.beat for _, ramp in changes))
        fields: dict[str, Position] = {}
        if first_beat is not None:
            earliest = self._earliest_beat(frame)
            others = {
                "ending": self._replan(frame),
                "cues": self._cues.replan(earliest),
                "pivot": self._pivots.replan(earliest),
            }
            for name, beat in others.items():
                if beat is not None:
                    first_beat = min(first_beat, beat)
                    fields[name] = self.position(course.clock.frame_of_beat(beat))
        for name, ramp in changes:
            place = self.position(course.clock.frame_of_beat(int(ramp.beat)) if ramp.frame is None else ramp.frame)
            field = _field_of(name)
            if field not in fields or place.frame < fields[field].frame:
                fields[field] = place
        return Applied(control_id, _earliest(fields), fields, self._since(first_beat))

    def _since(self, beat: int | None) -> int | None:
        return None if beat is None else self.frame_of_beat(beat)

    # --- endings ---------------------------------------------------------------------------------------------------

    def _end(self, control: End, frame: int) -> Applied:
        old, earliest = self._ending, self._earliest_beat(frame)
        is_outro = old is not None and old.first_beat is not None and old.first_beat < earliest
        if old is not None and (old.fade_frame <= frame or (is_outro and control.how not in FADE_SECONDS)):
            way_out = "" if old.fade_frame <= frame else "; it can still be cut short with fade or stop"
            seconds = old.end_frame / FRAMES_PER_SECOND
            raise BadControl(f"end comes too late: an ending has begun and is over at {seconds:.2f} s{way_out}")
        planned = plan_ending(control, self._course.clock, frame, earliest)
        first_frame, changed = self._first_frame(planned), [planned.first_beat]
        if old is not None and is_outro:
            planned = replace(planned, first_beat=old.first_beat, last_beat=old.last_beat)
        elif old is not None:
            first_frame = min(first_frame, self._first_frame(old))
            changed.append(old.first_beat)
        self._ending = planned
        start = self.position(first_frame)
        return Applied(control.id, start, {"ending": start}, self._since(_least(*changed)))

    def _replan(self, frame: int) -> int | None:
        """Fit the ending to a changed tempo; return the first beat that this changes."""
        ending, earliest = self._ending, self._earliest_beat(frame)
        if ending is None or ending.last_beat is None or ending.control.how in FADE_SECONDS:
            return None
        if ending.last_beat < earliest or ending.fade_frame <= frame:
            return None
        planned = plan_ending(ending.control, self._course.clock, frame, earliest, ending)
        self._ending = planned
        if planned.first_beat == ending.first_beat and planned.last_beat == ending.last_beat:
            return None
        return _least(planned.first_beat, ending.first_beat)

    def _first_frame(self, ending: Ending) -> int:
        if ending.first_beat is None:
            return ending.fade_frame
        return min(ending.fade_frame, self.frame_of_beat(ending.first_beat))

    # --- memory ----------------------------------------------------------------------------------------------------

    def forget_before(self, frame: int) -> None:
        """Nothing before the beat that sounds at `frame` will be read or changed again."""
        self._course.forget_before(frame)
        beat = self.beat_at(frame)
        self._cues.forget_before(beat)
        self._pivots.forget_before(beat)

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as plain values."""
        ending = self._ending
        planned = None
        if ending is not None:
            control = ending.control.model_dump()
            planned = [control, ending.first_beat, ending.last_beat, ending.fade_frame, ending.end_frame]
        return {
            "seed": self.seed,
            "course": self._course.snapshot(),
            "ending": planned,
            "cues": self._cues.snapshot(),
            "pivots": self._pivots.snapshot(),
        }

    @classmethod
    def restore(
        cls, snapshot: dict[str, Any], *, lead_frames: int = LEAD_FRAMES, block_frames: int = BLOCK_FRAMES
    ) -> Controller:
        """A controller that answers as the one that made `snapshot`."""
        controller = cls(Opening(), snapshot["seed"], lead_frames=lead_frames, block_frames=block_frames)
        controller._course.restore(snapshot["course"])
        controller._cues.restore(snapshot["cues"])
        controller._pivots.restore(snapshot["pivots"])
        if snapshot["ending"] is not None:
            control, *places = snapshot["ending"]
            controller._ending = Ending(End(**control), *places)
        return controller


def _field_of(track: str) -> str:
    """The public name of what a track carries."""
    group, _, name = track.rpartition(".")
    if name == "texts":
        return "mood"
    if group in ("layer", "mute"):
        return "layers"
    return "gain_db" if name == "duck" else name


def _earliest(fields: dict[str, Position]) -> Position:
    return min(fields.values(), key=lambda position: position.frame)


def _least(*beats: int | None) -> int | None:
    return min((beat for beat in beats if beat is not None), default=None)
