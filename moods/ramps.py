"""Ramps: glides of the course's tracks. In: controls that steer, duck, slow down or set the level; out: what moves, and
from where on. Remembers nothing of its own: the tracks belong to the course. One thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from moods.clock import FRAMES_PER_SECOND
from moods.control import VOLUME_DB, Cancel, Control, Duck, Steer, Transport, Volume
from moods.course import COLOUR_TRACKS, Course
from moods.fields import At, MoodFields, OnBeat, Seconds
from moods.glide import AT_ONCE, Moment, Ramp, Span
from moods.intent import BEATS_PER_BAR
from moods.part import Change, Edge, Lent, Pending, Reach
from moods.places import frame_of_second, next_beat, note_beat, seam_beat
from moods.targets import TRACKS, fader, gains_of, targets_of

DRIFT_KEY = "/autopilot/"
"""What the ids begin with of what the autopilot asks for. Where a glide of minutes arrives is worked out for nobody: it
would take all beats up to there."""
_KEY_TRACKS = frozenset({"key", "mood.key"})
_LEFT_OPEN = frozenset({"mood.key", "mood.density", "mood.brightness", "mood.temperature"})
"""What a mood that does not insist on it leaves as it is where none did before."""
_TYPES = {"duck": "duck", "voice": "duck", "volume": "volume", "rate": "transport", "slow": "transport"}
_NAMES = {"duck": "gain_db", "volume": "volume_db", "slow": "rate"}
_DEFAULT_SPANS = dict.fromkeys(("style", "mood.texts"), Span(float(BEATS_PER_BAR), in_beats=True))
_TEMPO_GLIDE = Span(2.0 * BEATS_PER_BAR, in_beats=True)
_TEMPO_JUMP = 0.03  # a smaller change of tempo needs no glide


class Ramps:
    """Implements `moods.part.Part`: puts ramps into the tracks of a course and takes them out."""

    name = "course"

    def __init__(self, course: Course) -> None:
        self._course = course

    def begin(self, fields: MoodFields) -> None:
        """What the tracks hold at the opening."""
        tracks = self._course.tracks
        for field, target in targets_of(fields).items():
            for name, _ in TRACKS[field]:
                tracks[name].base = target
        for layer, gain in gains_of(fields).items():
            tracks[f"layer.{layer}"].base, tracks[f"mute.{layer}"].base = fader(gain), float(gain == "mute")

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case Steer():
                ramps = self._steered(control, edge)
            case Duck():
                ramps = self._ducked(control, edge)
            case Volume():
                ramps = [self._leveled(control, edge)]
            case Transport(do="slow"):
                ramps = self._slowed(control, edge)
            case Cancel():
                return self._changed(self._cancelled(control, edge))
            case _:
                return None
        return self._insert(ramps)

    def _insert(self, ramps: list[tuple[str, Ramp]]) -> Change | None:
        tracks = self._course.tracks
        others = [other for name, ramp in ramps if (other := tracks[name].replaced_by(ramp)) is not None]
        for name, ramp in ramps:
            tracks[name].insert(ramp)
        change = self._changed(ramps)
        ids = dict.fromkeys(other.id for other in others if other.id is not None)
        return None if change is None else replace(change, replaces=tuple(ids))

    def _changed(self, ramps: list[tuple[str, Ramp]]) -> Change | None:
        """Let the course follow from where the first of these begins, and say where each field begins to change."""
        if not ramps:
            return None
        course = self._course
        first_beat = min((int(ramp.beat) for name, ramp in ramps if name not in COLOUR_TRACKS), default=None)
        course.revise(first_beat, min(ramp.beat for _, ramp in ramps))
        fields: dict[str, Reach] = {}
        for name, ramp in ramps:
            if _is_drift(ramp):
                continue
            field = _field_of(name)
            fields[field] = course.reach(name, ramp).joined(fields.get(field))
        return Change(fields, first_beat, is_course_moved=first_beat is not None)

    def _steered(self, control: Steer, edge: Edge) -> list[tuple[str, Ramp]]:
        ramps: list[tuple[str, Ramp]] = []
        if control.how != "glide":
            return self._cut_in(control, edge)
        tracks, span = self._course.tracks, control.span
        for field, target in targets_of(control.set).items():
            for name, default_at in TRACKS[field]:
                if field in _LEFT_OPEN and target is None and tracks[name].final() is None:
                    continue
                if span is not None and default_at == "phrase":
                    default_at = "bar"  # what is told how long it takes need not wait so long to begin
                ramp = self._ramp(name, default_at if control.at is None else control.at, edge, control.id)
                ramp.target, ramp.span = target, self._span(name, span, target, ramp)
                if name not in _KEY_TRACKS:
                    ramp.is_exact = span is not None
                elif span is not None and not edge.ahead_s:
                    self._put_off(ramp, span)
                ramps.append((name, ramp))
        for layer, gain in gains_of(control.set).items():
            ramp = self._ramp(f"layer.{layer}", "now" if control.at is None else control.at, edge, control.id)
            ramp.target, ramp.span = fader(gain), control.span or AT_ONCE
            ramps.append((f"layer.{layer}", ramp))
            ramps += self._mute(layer, ramp, edge)
        return ramps

    def _cut_in(self, control: Steer, edge: Edge) -> list[tuple[str, Ramp]]:
        """All fields at once, colour too, on the beat where the cut is."""
        beat = float(seam_beat(self._course, control, edge))
        targets = {
            name: target
            for field, target in targets_of(control.set).items()
            for name, _ in TRACKS[field]
            if not (field in _LEFT_OPEN and target is None and self._course.tracks[name].final() is None)
        }
        for layer, gain in gains_of(control.set).items():
            targets |= {f"layer.{layer}": fader(gain), f"mute.{layer}": float(gain == "mute")}
        return [
            (name, Ramp(beat, None, AT_ONCE, target, control.id, edge.number, is_exact=True))
            for name, target in targets.items()
        ]

    def drive(self, fields: MoodFields, smooth_s: float, edge: Edge) -> Change | None:
        """Let fields follow at once, and take back what was to become of them later: level and colour over so many
        seconds, notes from the next beat on."""
        ramps = self._steered(Steer(set=fields, at="now"), edge)
        for name, ramp in ramps:
            self._course.tracks[name].end_at(ramp.beat)
            if name in COLOUR_TRACKS:
                ramp.span = Span(smooth_s)
        return self._insert(ramps)

    def _put_off(self, ramp: Ramp, span: Span) -> None:
        """Let a new key, which takes no time, begin with the first bar where `span` is over; a pivot leads there."""
        clock = self._course.clock
        frame = clock.frame_of_beat(int(ramp.beat))
        seconds_later = frame + round(span.length * FRAMES_PER_SECOND)
        end = ramp.beat + span.length if span.in_beats else clock.beats_at(seconds_later)
        ramp.beat, ramp.asked_frame = float(math.ceil(end / BEATS_PER_BAR) * BEATS_PER_BAR), None

    def _ramp(self, track: str, at: At, edge: Edge, control_id: str | None) -> Ramp:
        """A ramp of `track` where it is to begin; colour can move between beats, notes cannot.

        Raises `OutOfRange` for a position in seconds that has passed or lies too far ahead.
        """
        if isinstance(at, Seconds):
            frame = frame_of_second(at, edge)
            is_colour = track in COLOUR_TRACKS
            beat = self._beat_of(track, frame, edge)
            return Ramp(beat, frame if is_colour else None, AT_ONCE, None, control_id, edge.number, asked_frame=frame)
        if at == "now" and track in COLOUR_TRACKS:
            return Ramp(self._course.clock.beats_at(edge.frame), edge.frame, AT_ONCE, None, control_id, edge.number)
        assert isinstance(at, str | OnBeat), at
        return Ramp(float(next_beat(self._course.form, at, edge.beat)), None, AT_ONCE, None, control_id, edge.number)

    def _beat_of(self, track: str, frame: int, edge: Edge) -> float:
        """Where `track` begins to change if that is asked for at `frame`."""
        clock = self._course.clock
        if track in COLOUR_TRACKS:
            return clock.beats_at(frame)
        return float(note_beat(self._course, frame, edge))

    def _span(self, track: str, asked: Span | None, target: Any, ramp: Ramp) -> Span:
        if track in _KEY_TRACKS:
            return AT_ONCE
        if asked is None and track == "bpm" and target is not None:
            before = self._course.held(max(0, int(ramp.beat) - 1)).bpm
            return _TEMPO_GLIDE if abs(target / before - 1) > _TEMPO_JUMP else AT_ONCE
        return asked or _DEFAULT_SPANS.get(track, AT_ONCE)

    def _mute(self, layer: str, fade: Ramp, edge: Edge) -> list[tuple[str, Ramp]]:
        """The notes' side of a layer's gain: a muted layer plays no notes once its fade is over."""
        mute = float(fade.target == 0)
        if mute == self._course.tracks[f"mute.{layer}"].final():
            return []
        track, clock = f"mute.{layer}", self._course.clock
        if mute and fade.span.in_beats:
            beat = max(math.ceil(fade.beat + fade.span.length), edge.beat)
            return [(track, Ramp(float(beat), None, AT_ONCE, mute, fade.id, fade.number))]
        frame = clock.frame_of_beat(int(fade.beat)) if fade.frame is None else fade.frame
        if mute:
            frame += round(fade.span.length * FRAMES_PER_SECOND)
        if fade.asked_frame is not None:
            return [
                (
                    track,
                    Ramp(
                        self._beat_of(track, frame, edge), None, AT_ONCE, mute, fade.id, fade.number, asked_frame=frame
                    ),
                )
            ]
        beat = max(math.ceil(clock.beats_at(frame)), edge.beat)
        return [(track, Ramp(float(beat), None, AT_ONCE, mute, fade.id, fade.number))]

    def _ducked(self, control: Duck, edge: Edge) -> list[tuple[str, Ramp]]:
        voice = None if control.voice is None else float(control.voice)
        asked = {"duck": control.gain_db, "voice": voice}
        ramps: list[tuple[str, Ramp]] = []
        for name, target in asked.items():
            if target is not None:
                ramp = self._ramp(name, control.at, edge, control.id)
                ramp.target, ramp.span = target, control.span
                ramps.append((name, ramp))
        return ramps

    def _leveled(self, control: Volume, edge: Edge) -> tuple[str, Ramp]:
        ramp, (low, high) = self._ramp("volume", control.at, edge, control.id), VOLUME_DB
        before_db = self._course.tracks["volume"].ahead(ramp.beat)
        asked_db = before_db + control.by_db if control.gain_db is None else control.gain_db
        ramp.target, ramp.span = min(high, max(low, asked_db)), control.span
        return "volume", ramp

    def _slowed(self, control: Transport, edge: Edge) -> list[tuple[str, Ramp]]:
        """Slow motion: the tempo with a beat, the sound at once or with it."""
        assert control.rate is not None
        ramps = [(name, self._ramp(name, control.at, edge, control.id)) for name in ("rate", "slow")]
        for _, ramp in ramps:
            ramp.target, ramp.span = control.rate, control.span
        return ramps

    def _cancelled(self, control: Cancel, edge: Edge) -> list[tuple[str, Ramp]]:
        """Take out what the control asked of fields that have not begun: one that has is not left half there."""
        asked = [
            (name, ramp)
            for name, track in self._course.tracks.items()
            for ramp in track.ramps
            if ramp.id == control.cancelled
        ]
        now = self._course.clock.beats_at(edge.frame)
        begun = {
            (_field_of(name), ramp.number)
            for name, ramp in asked
            if ramp.beat < (now if name in COLOUR_TRACKS else edge.beat)
        }
        gone = [(name, ramp) for name, ramp in asked if (_field_of(name), ramp.number) not in begun]
        for name, ramp in gone:
            self._course.tracks[name].remove(ramp)
        return gone

    def replan(self, edge: Edge) -> Change | None:
        """Put what was asked for in seconds where it lies after a change of tempo, one after another: each may change
        the tempo of what comes later."""
        moved: list[tuple[str, Ramp]] = []
        beats: list[int] = []
        for name, ramp in self._waiting(edge):
            before, beat = ramp.beat, self._beat_of(name, ramp.asked_frame or 0, edge)
            if beat != before:
                self._course.tracks[name].move(ramp, beat)
                is_note = name not in COLOUR_TRACKS
                self._course.revise(int(min(before, beat)) if is_note else None, min(before, beat))
                moved.append((name, ramp))
                beats += [int(before), int(beat)] if is_note else []
        change = self._changed(moved)
        return None if change is None else replace(change, first_beat=min(beats, default=None))

    def _waiting(self, edge: Edge) -> list[tuple[str, Ramp]]:
        """What is asked for in seconds and has not begun, in that order."""
        waiting = [
            (name, ramp)
            for name, track in self._course.tracks.items()
            for ramp in track.ramps
            if ramp.asked_frame is not None
            and (ramp.asked_frame >= edge.frame if name in COLOUR_TRACKS else ramp.beat >= edge.beat)
        ]
        return sorted(waiting, key=lambda row: row[1].asked_frame or 0)

    def lend(self, lent: Lent, at: Moment) -> None:
        """Nothing: what tracks hold, the course says."""

    def holds_until(self, at: Moment) -> int:
        return self._course.holds_until(at)

    def pending(self, frame: int) -> Iterator[Pending]:
        for name, track in self._course.tracks.items():
            for ramp in track.ramps:
                if _is_drift(ramp):
                    continue
                reach = self._course.reach(name, ramp)
                if reach.arrive > frame:
                    yield Pending(ramp.number, ramp.id, _TYPES.get(name, "steer"), _field_of(name), reach)

    def forget_before(self, at: Moment) -> None:
        self._course.forget_before(at)

    def snapshot(self) -> dict[str, Any]:
        return self._course.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._course.restore(snapshot)


def _is_drift(ramp: Ramp) -> bool:
    return ramp.id is not None and ramp.id.startswith(DRIFT_KEY)


def _field_of(track: str) -> str:
    """The public name of what a track carries."""
    group, _, name = track.rpartition(".")
    if name == "texts":
        return "mood"
    if group in ("layer", "mute"):
        return "layers"
    return _NAMES.get(name, name)
