"""One station's course. In: controls and the frame at which they came; out: intents for any frame or beat, pure reads.

Remembers the course from the last `forget_before` on, whatever the length of the station's life. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from moods.clock import FRAMES_PER_SECOND, Clock, Position, frames_of_beat
from moods.control import Cancel, Control, End, Hit, Parameter, State, Steer
from moods.course import LAYER_TRACKS, MUTE_TRACKS, Course
from moods.cues import Cue, Cues
from moods.drifting import Drift
from moods.driving import Driving
from moods.ending import NEAR_FRAMES, Ending
from moods.errors import BadControl, TooManyWaiting, UnknownMarker, shown
from moods.fields import AtMarker, MoodFields, OnBeat, Seconds
from moods.form import TUNEFUL, Form, cadence_at, calls_lead, layers_let_in
from moods.glide import Moment, Texts
from moods.halts import Halts
from moods.harmony import Key
from moods.intent import BEATS_PER_BAR, LAYERS, MUTE_DB, Intent, Line, Recall
from moods.leitmotif import Leitmotif
from moods.loudness import target_lufs
from moods.mood import Mood, style_brightness
from moods.names import nearest
from moods.opening import Opening
from moods.part import Change, Edge, Lent, Part, Reach, joined, least
from moods.pivot import Pivots
from moods.ramps import DRIFT_KEY, Ramps
from moods.sections import Sections
from moods.stinger import StingerFigure, own_figures
from moods.succession import STATE_KEY, Entrance, Succession
from moods.targets import fader_db, opening_point
from moods.timeline import LONGEST_S, Timeline, TimelineHit
from moods.turns import Turns

LEAD_FRAMES = FRAMES_PER_SECOND * 60 // 1000
BLOCK_FRAMES = FRAMES_PER_SECOND // 50
"""What a generator that says nothing else needs."""
FILL_ENERGY = 0.6
"""From this energy on a drum fill into a section takes two beats."""

_SLOW_GAIN_DB = 8.0
"""How much softer music would be in slow motion that stands still."""
_DRUMS, _LEAD = LAYERS.index("drums"), LAYERS.index("lead")
_SUNG = (*TUNEFUL, "outro")
"""Sections in which the lead plays, however still the mood."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a field begins to change and where it has arrived, as things stand when that is asked."""

    begin: Position
    arrive: Position


@dataclass(frozen=True, slots=True)
class Waiting:
    """A control of which something has not begun, or not arrived."""

    id: str | None
    type: str
    fields: dict[str, Reached]
    by: str | None  # who asked


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a control."""

    id: str | None
    effective: Position  # the earliest audible change; of a hit the accent, whose pickup is in `fields`
    fields: dict[str, Reached]  # where each field begins to change, and where it has arrived
    changed_since: int | None  # the music frame from which on notes may be composed otherwise; None: all are as before
    replaces: tuple[str, ...]  # ids of the controls of which something that was to come does not
    is_idle: bool = False  # it asked for what is so anyway: nothing has changed, and it need not be done again


def _without_tempo(fields: MoodFields) -> MoodFields:
    """The same but for the tempo, which the plan has taken up."""
    copy = fields.model_copy()
    copy.model_fields_set.discard("bpm")
    return copy


@dataclass(frozen=True, slots=True)
class _Colour:
    """The fields of an intent that differ between what is heard and what is composed."""

    valence: float
    energy: float
    brightness: float
    layer_gains_db: tuple[float, ...]
    gain_db: float = 0.0
    voice_room: float = 0.0
    texts: Texts = ()
    composed_bpm: float | None = None


_OWN_KEYS = {STATE_KEY: "state", DRIFT_KEY: "autopilot"}
"""What the ids begin with of what parts ask of each other, and who asks."""


def _asker(control_id: str | None) -> str | None:
    """The part that asked for something by this id; None where nobody here did."""
    return next(
        (asker for key, asker in _OWN_KEYS.items() if control_id is not None and control_id.startswith(key)), None
    )


MAX_WAITING = 64
"""Controls that may wait for their place: whatever is asked, all that is to come is worked out anew."""
_MAX_ASKERS = 4 * MAX_WAITING
"""Of so many controls it is remembered who asked."""
_SOON = (None, "now", "beat", "bar")


def _place_of(hit: TimelineHit) -> float:
    return hit.at


def _marked_places(timeline: Timeline) -> list[tuple[str, int]]:
    """The hits and sections that have names, and the frames where they are."""
    places = [(section.name, section.at) for section in timeline.sections]
    places += [(hit.name, hit.at) for hit in timeline.hits]
    return [(name, round(at * FRAMES_PER_SECOND)) for name, at in places if name]


@cache
def _key(tonic: int, scale: str) -> Key:
    return Key(tonic, scale)


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
        timeline = fields.timeline
        begun: MoodFields = fields.begun if timeline is None else timeline
        point = opening if isinstance(opening, Mood) else opening_point(begun)
        self.seed = seed if seed is not None else fields.chosen_seed or 0
        self.plan = None if timeline is None else timeline.plan
        """What has been made of the opening's timeline; None: music without end."""
        self.revision = 0
        """Grows with every control: what was read of later frames may then be stale."""
        self._lead_frames = lead_frames
        self._num_asked = 0
        self._num_planned = 0
        """So many of what was asked is the timeline's."""
        self._askers: dict[str | int, str] = {}
        """Who asked for a control, by its id, or its number where it has none."""
        self._drawn_by: Sequence[tuple[range, int]] = ()
        plan = self.plan
        form = Form(self.seed) if plan is None else Form(self.seed, plan.sections, plan.end_beat)
        sections = Sections(form, self.seed)
        self._course = course = Course(self.seed, sections, point, self.plan)
        if fields.autopilot is not None:
            course.tracks["novelty"].base = fields.autopilot.novelty
        ramps, self._ending = Ramps(course), Ending(course.clock, sections, block_frames)
        self._cues = Cues(course, self._ending, own_figures(fields.stingers))
        leitmotif = Leitmotif(course.clock, sections, fields.themes, fields.begun_theme)
        self._marked = [] if timeline is None else _marked_places(timeline)
        self._driving = Driving(ramps, fields.parameters)
        self._states = Succession(course.clock, sections, fields.matrix, self._ask, self._driving.driven)
        self._halts = Halts(course)
        self._drift = Drift(course, self.seed, fields.autopilot, point, self._driving.drives, self._ask)
        self._parts: tuple[Part, ...] = (
            Turns(course), ramps, self._ending, self._cues, leitmotif, Pivots(course), self._driving,
            self._states, self._halts, self._drift,
        )  # fmt: skip
        if timeline is None:
            ramps.begin(begun)
            self._states.begin(Edge(0, 0))
        else:
            self._begin(timeline, ramps)

    def _begin(self, timeline: Timeline, ramps: Ramps) -> None:
        """Ask for all that the timeline says, before anything is made."""
        ramps.begin(_without_tempo(timeline))
        controls = list[Control]()
        for section in timeline.sections:
            fields = _without_tempo(section)
            if section.at == 0:
                ramps.begin(fields)
            else:
                controls.append(Steer(set=fields, over=section.over, at=Seconds(seconds=section.at)))
        controls += [
            Hit(at=Seconds(seconds=hit.at), strength=hit.strength) for hit in sorted(timeline.hits, key=_place_of)
        ]
        controls.append(End(how=timeline.ending, at=Seconds(seconds=timeline.num_frames / FRAMES_PER_SECOND)))
        for control in controls:
            edge = Edge(0, 0, self._num_asked, LONGEST_S)
            for part in self._parts:
                part.apply(control, edge)
            self._num_asked += 1
        for part in self._parts:
            part.replan(edge)
        self._num_planned = self._num_asked

    # --- reads -----------------------------------------------------------------------------------------------------

    def intent(self, frame: int) -> Intent:
        """What is heard at `frame`: colour as it is there, the notes' side as of that moment."""
        at = self._course.moment(frame)
        track, lent = self._course.tracks, self._lent(at)
        slow, level_db = track["slow"].value(at), track["duck"].value(at) + track["volume"].value(at)
        colour = _Colour(
            valence=track["colour.valence"].value(at),
            energy=track["colour.energy"].value(at),
            brightness=track["brightness"].value(at) * slow,
            layer_gains_db=tuple([fader_db(track[name].value(at)) for name in LAYER_TRACKS]),
            gain_db=max(MUTE_DB, level_db + lent.gain_db + (slow - 1) * _SLOW_GAIN_DB),
            voice_room=track["voice"].value(at),
            texts=track["mood.texts"].value(at),
        )
        return self._assemble(at, lent, colour)

    def beat_intent(self, beat: int) -> Intent:
        """What the notes of `beat` (from 0) are composed from. It changes only from an `Applied.changed_since` on.

        No gains here but mutes, no texts, the tempo that is asked for and not that of a plan, and brightness as the
        style has it: how notes are mixed does not change them.
        """
        at = self._course.beat_moment(beat)
        track = self._course.tracks
        valence, energy, tension = (track[name].value(at) for name in ("valence", "energy", "tension"))
        colour = _Colour(
            valence=valence,
            energy=energy,
            brightness=style_brightness(track["style"].value(at), energy, valence, tension),
            layer_gains_db=tuple([MUTE_DB if track[name].value(at) else 0.0 for name in MUTE_TRACKS]),
            composed_bpm=self._course.composed_bpm(beat),
        )
        return self._assemble(at, self._lent(at), colour)

    def section(self, beat: int) -> tuple[str, int]:
        """The section that `beat` (from 0) belongs to, as its intent has it, and the beat with which it began."""
        name = self._lent(self._course.beat_moment(beat)).position.section
        return name, 0 if name == "outro" else self._course.form.section_beat(beat)

    def holds_until(self, frame: int) -> int:
        """The first frame after `frame` at which what is heard of `intent` (loudness, energy, brightness, tempo, gains,
        voice room, style, texts) may be otherwise, as long as no control comes; `frame + 1` in the middle of a glide.

        Never too late; at most a bar ahead.
        """
        at = self._course.moment(frame)
        until = min([part.holds_until(at) for part in self._parts])
        return until if until == frame + 1 else min(until, self._level_holds_until(at))

    def _level_holds_until(self, at: Moment) -> int:
        """The first frame after `at`, at most a bar ahead, at which the form may move the level."""
        beat, intensity = int(at.beat), self._lent(at).position.intensity
        bar_line = beat - beat % BEATS_PER_BAR + BEATS_PER_BAR
        lent = ((ahead, self._lent(self._course.beat_moment(ahead))) for ahead in range(beat + 1, bar_line))
        moved = next((ahead for ahead, there in lent if there.position.intensity != intensity), bar_line)
        return self._course.clock.frame_of_beat(moved)

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

    def foreseen(self, frame: int, now: int) -> Position:
        """The same as it is told at `now`: up to an ending that is far off nothing is worked out, and bars are counted
        as if the tempo stayed."""
        if frame - now <= NEAR_FRAMES or self._ending.open_frame <= now or frame < self._ending.open_frame:
            return self.position(frame)
        clock, at = self._course.clock, self.position(now)
        beats = clock.beats_at(now) + (frame - now) / frames_of_beat(at.bpm)
        bar, beat = divmod(int(beats), BEATS_PER_BAR)
        return Position(frame, frame / FRAMES_PER_SECOND, bar + 1, beat + 1, at.bpm, beats % 1)

    def _reached(self, reach: Reach, now: int) -> Reached:
        return Reached(self.foreseen(reach.begin, now), self.foreseen(reach.arrive, now))

    @property
    def end_frame(self) -> int | None:
        """Silence from this frame on for good; None while no ending is asked."""
        return None if self._ending.goes_on else self._ending.end_frame

    @property
    def zero_frame(self) -> int | None:
        """Where a countdown reaches 0:00; None while there is none."""
        return self._ending.zero_frame

    def hasten(self, num_frames: int, frame: int) -> int | None:
        """Let a countdown know that the music has stood still for `num_frames` before `frame`: it has run on.

        Answer the music frame from which on notes may be composed otherwise; None: all are as before.
        """
        return self._ended_otherwise(self._ending.hasten(num_frames, self._edge(frame)))

    def _edge(self, frame: int) -> Edge:
        return Edge(frame, self._course.clock.first_beat_from(frame + self._lead_frames), self._num_asked)

    def _ended_otherwise(self, change: Change | None) -> int | None:
        self.revision += 1
        return None if change is None or change.first_beat is None else self.frame_of_beat(change.first_beat)

    def halt_before(self, frame: int) -> str | None:
        """The pause or restart whose place lies before `frame`; it is to be done, and waits no longer."""
        where = self._halts.frame()
        return None if where is None or where >= frame else self._halts.take()

    @property
    def loops(self) -> bool:
        """The ending that was asked for leads into the music's own beginning."""
        return self._ending.loops

    @property
    def values(self) -> dict[str, float]:
        """The parameters that have a value, as they are now."""
        return self._driving.values

    @property
    def volume_db(self) -> float:
        """The lasting level that was asked for: what it is, or is on its way to."""
        volume_db: float = self._course.tracks["volume"].final()
        return volume_db

    def keep_volume(self, volume_db: float) -> None:
        """Begin at a lasting level, before anything is asked or read."""
        self._course.tracks["volume"].base = volume_db

    @property
    def autopilot(self) -> Drift | None:
        """The autopilot; None where there is none."""
        return self._drift if self._drift.settings is not None else None

    def state(self, beat: int) -> Entrance | None:
        """The state that `beat` (from 0) is in."""
        return self._states.at(beat)

    def states_within(self, first_beat: int, last_beat: int) -> list[Entrance]:
        """The states that begin on the beats `first_beat` … `last_beat`."""
        return self._states.within(first_beat, last_beat)

    @property
    def state_heading(self) -> Entrance | None:
        """The state that it will be in if nothing more is asked."""
        return self._states.heading

    def cues_within(self, first_beat: int, last_beat: int) -> list[tuple[Cue, Position]]:
        """The hits and stingers that sound on the beats `first_beat` … `last_beat`, and where."""
        cues = [replace(cue, id=self._told_id(cue.id)) for cue in self._cues.within(first_beat, last_beat)]
        return [(cue, self.position(self._cues.frame_of(cue))) for cue in cues]

    def find_stinger(self, name: str) -> StingerFigure:
        """The figure of a stinger that is under way."""
        return self._cues.find_stinger(name)

    def cues_over(self, frame: int) -> list[Cue]:
        """The hits and stingers laid over the music that have begun before `frame`, in the order of beginning."""
        return self._cues.over_before(frame)

    def _lent(self, at: Moment) -> Lent:
        lent = Lent(self._course.form.position_of(int(at.beat)))
        for part in self._parts:
            part.lend(lent, at)
        return lent

    def _assemble(self, at: Moment, lent: Lent, colour: _Colour) -> Intent:
        """The intent at `at`, of what the course holds there and what its parts lend."""
        course, track = self._course, self._course.tracks
        beat = int(at.beat)
        bar, beat_in_bar = divmod(beat, BEATS_PER_BAR)
        held, position = course.held(beat), lent.position
        without = position.without if position.resting is None else (*position.without, position.resting)
        let_in = layers_let_in(position.section, position.bar_in_section, held.is_driving, without)
        is_over = lent.beats_to_end is not None and lent.beats_to_end < 0
        playing = [*held.playing[:_LEAD], held.playing[_LEAD] or position.section in _SUNG]
        active = [
            plays and allowed and not is_over and not track[name].value(at)
            for name, plays, allowed in zip(MUTE_TRACKS, playing, let_in, strict=True)
        ]
        has_theme = lent.theme is not None and not track[MUTE_TRACKS[_LEAD]].value(at)
        active[_LEAD] |= has_theme
        cue = lent.cue
        if lent.is_bridge and cue == "none":
            active[_DRUMS] = False
        num_fill_beats = 2 if colour.energy >= FILL_ENERGY else 1
        can_fill = held.playing[_DRUMS] and not track[MUTE_TRACKS[_DRUMS]].value(at) and not lent.is_bridge
        if cue == "none" and can_fill and lent.beats_to_end is None and course.form.is_filled(beat, num_fill_beats):
            cue, active[_DRUMS] = "fill", True
        if lent.stinger is not None:
            active[_LEAD] = False
        return Intent(
            valence=colour.valence,
            energy=colour.energy,
            tension=track["tension"].value(at),
            style=track["style"].value(at),
            bpm=course.heard_bpm(beat) if colour.composed_bpm is None else colour.composed_bpm,
            key=_key(*course.key_at(at)),
            density=track["density"].value(at),
            brightness=colour.brightness,
            layer_gains_db=colour.layer_gains_db,
            active_layers=tuple(active),
            temperature=track["temperature"].value(at),
            loudness_lufs=target_lufs(colour.energy, position.intensity),
            gain_db=colour.gain_db,
            voice_room=colour.voice_room,
            bar=bar + 1,
            beat=beat_in_bar + 1,
            section=position.section,
            bar_in_section=position.bar_in_section,
            bars_to_change=position.bars_to_change,
            recall=position.recall if not self._drawn_by else self._recall(position.recall, bar),
            cue=cue,
            beats_to_end=lent.beats_to_end,
            ring_beats=lent.ring_beats,
            calls_lead=beat_in_bar == 0 and calls_lead(position),
            hit_offset=lent.hit_offset,
            hit_strength=lent.hit_strength,
            key_ahead=None if lent.key_ahead is None else _key(*lent.key_ahead),
            beats_to_key=lent.beats_to_key,
            stinger=lent.stinger,
            stinger_over=lent.stinger_over,
            theme=lent.theme if has_theme else None,
            piece=course.form.piece_of(beat),
            piece_beats=beat - course.form.piece_beat(beat),
            novelty=track["novelty"].value(at),
            character=course.character(beat),
            texts=colour.texts,
            line=self._line(position.lines[beat_in_bar], beat),
            intensity=position.intensity,
            cadence="none"
            if lent.theme is not None or lent.beats_to_end is not None
            else cadence_at(position, beat_in_bar),
            is_half_time=position.is_half_time,
        )

    def draw_by(self, beats: Sequence[tuple[range, int]]) -> None:
        """Let some beats be composed by other seeds. No snapshot holds this."""
        self._drawn_by = beats

    def seed_of(self, beat: int) -> int:
        """The seed by which the notes of `beat` are drawn."""
        return next((seed for beats, seed in self._drawn_by if beat in beats), self.seed)

    def _recall(self, recall: Recall, bar: int) -> Recall:
        """What is composed once more recalls nothing from before: it would come out as it was."""
        region = next((beats for beats, _ in self._drawn_by if bar * BEATS_PER_BAR in beats), None)
        if region is None:
            return recall
        own_bars = bar - region.start // BEATS_PER_BAR
        return tuple(lane if lane is None or lane[0] <= own_bars else None for lane in recall)

    def _line(self, line: Line | None, beat: int) -> Line | None:
        """The same of the lead."""
        region = next((beats for beats, _ in self._drawn_by if beat in beats), None)
        is_before = line is not None and region is not None and beat - line.back_beats < region.start
        return None if is_before else line

    # --- controls --------------------------------------------------------------------------------------------------

    def apply(self, control: Control, frame: int) -> Applied:
        """Apply a control; `frame` is the first music frame not yet made. Nothing changes before what is effective.

        Raises `BadControl`, `OutOfRange`, `TooManyWaiting` or `UnknownMarker` and leaves the course as it was.
        """
        self._check_asked(control, frame)
        edge = self._edge(frame)
        control = self._without_marker(control, edge)
        changes = self._ask_all(control, edge)
        if isinstance(control, Cancel) and not changes:
            field = "id" if control.target is None else "target"
            raise BadControl(
                f"{field} is {shown(control.cancelled)}; no control of that id is still waiting to take effect"
            )
        if any(change.is_course_moved for change in changes):
            changes += [change for part in self._parts if (change := part.replan(edge)) is not None]
        is_idle = isinstance(control, State | Parameter) and not changes
        self._note_asker(control)
        self.revision += not is_idle
        self._num_asked += not is_idle
        return self._applied(control, frame, changes, is_idle)

    def advance(self, frame: int) -> int | None:
        """Let the ending of a countdown and the autopilot plan what is to come; `frame` is the first not yet made.

        To be called before each step, wherever the music is made: what is planned does not depend on their size.
        Returns the frame from which on notes may be composed otherwise, of all that lie ahead; None: none.
        """
        return least((self._lay_ending(frame), self._drift_on(frame)))

    def _lay_ending(self, frame: int) -> int | None:
        if frame < self._ending.open_frame:
            return None
        return self._ended_otherwise(self._ending.lay(self._edge(frame)))

    def _drift_on(self, frame: int) -> int | None:
        if self._drift.settings is None or not self._drift.is_due((edge := self._edge(frame)).beat):
            return None
        changes = [self._drift.plan(edge), *(part.replan(edge) for part in self._parts)]
        self.revision += 1
        self._num_asked += 1
        first = least(change.first_beat for change in changes if change is not None)
        return None if first is None else self.frame_of_beat(first)

    def _check_asked(self, control: Control, frame: int) -> None:
        """Raises `BadControl` for a name that is a state's own, `TooManyWaiting` where it would have to wait, too."""
        for name in (control.id, control.target if isinstance(control, Cancel) else None):
            if name is not None and name.startswith(tuple(_OWN_KEYS)):
                raise BadControl(f"id is {shown(name)}; expected one that does not begin with {' or '.join(_OWN_KEYS)}")
        if getattr(control, "at", None) in _SOON:
            return
        waiting = {
            each.number if each.id is None else each.id
            for part in self._parts
            for each in part.pending(frame)
            if each.reach.begin > frame and (each.number is None or each.number >= self._num_planned)
        }
        if len(waiting) >= MAX_WAITING:
            raise TooManyWaiting(MAX_WAITING)

    def _note_asker(self, control: Control) -> None:
        key = self._num_asked if control.id is None else control.id
        self._askers.pop(key, None)
        if control.by is not None:
            self._askers[key] = control.by
        if len(self._askers) > _MAX_ASKERS:
            del self._askers[next(iter(self._askers))]

    def _ask(self, control: Control, edge: Edge) -> list[Change]:
        """Let each part take a control."""
        return [change for part in self._parts if (change := part.apply(control, edge)) is not None]

    def _ask_all(self, control: Control, edge: Edge) -> list[Change]:
        """The same; of a state, which asks many things one after another, all is done or nothing."""
        if not isinstance(control, State):
            return self._ask(control, edge)
        before = self.snapshot()
        try:
            return self._ask(control, edge)
        except Exception:
            for part in self._parts:
                part.restore(before[part.name])
            raise

    def _without_marker(self, control: Control, edge: Edge) -> Control:
        """The same control where the marker lies that it names: on its beat, so that it goes with it when the tempo
        changes, or at its second. Raises `UnknownMarker`, `BadControl`."""
        at = getattr(control, "at", None)
        if not isinstance(at, AtMarker):
            return control
        named: list[tuple[str, int, OnBeat | None]] = [(name, where, None) for name, where in self._marked]
        for own_id, where, beat in self._cues.named():
            if (name := self._told_id(own_id)) is not None:
                named.append((name, where, beat))
        places = {where: beat for name, where, beat in named if name == at.marker}
        if not places:
            known = dict.fromkeys(name for name, _, _ in named)
            raise UnknownMarker(at.marker, nearest(at.marker, known), f"known: {', '.join(known) or 'none'}")
        ahead = least(where for where in places if where >= edge.frame)
        if ahead is None:
            raise BadControl(f"marker {shown(at.marker)} has passed, at {max(places) / FRAMES_PER_SECOND:.2f} s")
        beat = places[ahead]
        is_open = beat is not None and beat.beat >= edge.beat and not isinstance(control, End)  # an end ends there
        place = beat if is_open else Seconds(seconds=ahead / FRAMES_PER_SECOND)
        return control.model_copy(update={"at": place})

    def _applied(self, control: Control, frame: int, changes: list[Change], is_idle: bool) -> Applied:
        change = joined(changes) or Change({})
        replaced = [] if isinstance(control, Cancel) else [self._told_id(each) for each in change.replaces]
        replaces = tuple(dict.fromkeys(each for each in replaced if each is not None and each != control.id))
        effective = change.effective_frame
        if effective is None:
            effective = min((reach.begin for reach in change.fields.values()), default=frame)
        return Applied(
            control.id,
            self.foreseen(effective, frame),
            {name: self._reached(reach, frame) for name, reach in change.fields.items()},
            None if change.first_beat is None else self.frame_of_beat(change.first_beat),
            replaces,
            is_idle,
        )

    def _told_id(self, control_id: str | None) -> str | None:
        """An id as whoever asked knows it: what a state asks for is that state's."""
        if _asker(control_id) is None or control_id is None:
            return control_id
        return self._states.id_of(control_id)

    def pending(self, frame: int) -> list[Waiting]:
        """What was asked for and has not begun, or not arrived, at `frame`, the soonest first."""
        oldest_frame = self.clock.frame_of_beat(self.clock.oldest_beat)
        grouped: dict[tuple[str, str | int | None], dict[str, Reach]] = {}
        for part in self._parts:
            for number, asked_id, kind, field, reach in part.pending(frame):
                control_id = self._told_id(asked_id)
                kind = _asker(asked_id) or kind
                reach = reach._replace(begin=max(oldest_frame, reach.begin))  # where longer ones began is forgotten
                fields = grouped.setdefault((kind, number if control_id is None else control_id), {})
                fields[field] = reach.joined(fields.get(field))
        waiting = [
            Waiting(
                key if isinstance(key, str) else None,
                kind,
                {name: self._reached(reach, frame) for name, reach in fields.items()},
                None if key is None else self._askers.get(key),
            )
            for (kind, key), fields in grouped.items()
        ]
        return sorted(waiting, key=lambda each: min(reached.begin.frame for reached in each.fields.values()))

    # --- memory ----------------------------------------------------------------------------------------------------

    def forget_before(self, frame: int) -> None:
        """Nothing before the beat that sounds at `frame` will be read or changed again."""
        at = self._course.beat_moment(self.beat_at(frame))
        for part in self._parts:
            part.forget_before(at)

    def snapshot(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        own = {"seed": self.seed, "num_asked": self._num_asked, "askers": list(self._askers.items())}
        return own | {part.name: part.snapshot() for part in self._parts}

    @classmethod
    def restore(
        cls,
        snapshot: dict[str, Any],
        opening: Opening | None = None,
        *,
        lead_frames: int = LEAD_FRAMES,
        block_frames: int = BLOCK_FRAMES,
    ) -> Controller:
        """A controller that answers as the one that made `snapshot`, which was given `opening`: the plan is its."""
        controller = cls(opening or Opening(), snapshot["seed"], lead_frames=lead_frames, block_frames=block_frames)
        controller._num_asked = snapshot["num_asked"]
        controller._askers = {key: by for key, by in snapshot["askers"]}
        for part in controller._parts:
            part.restore(snapshot[part.name])
        return controller
