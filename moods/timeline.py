"""A timeline: what a piece of a known length is to do, second by second. In: JSON values; out: a checked `Timeline`.

Remembers nothing; any thread. All places are seconds of the picture, whose first frame is 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from moods.clock import FRAMES_PER_SECOND
from moods.errors import BadControl, OutOfRange, shown
from moods.fields import (
    SEED_SCHEMA,
    Absent,
    Model,
    MoodFields,
    Number,
    Over,
    check_number,
    check_prompts,
    check_seed,
    parse,
    range_schema,
)
from moods.fitting import fit
from moods.plan import Plan

SHORTEST_S, LONGEST_S = 1.0, 21_600.0
FPS = (1.0, 240.0)
FPS_DEFAULT = Fraction(30)
ASKED_TEMPO_RANGE, OPEN_TEMPO_RANGE = 0.08, 0.15
"""Of a tempo that is asked for in numbers, and of one that the mood decides."""
MOST_SECTIONS, MOST_HITS, MOST_CUTS, MOST_SPANS, MOST_REDONE = 1000, 2000, 20_000, 20_000, 20
HOWS = ("cadence", "ring", "fade", "stop", "loop")

_FPS_TEXT = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}|/[1-9][0-9]{0,5})?")
_NTSC_DROP = Fraction(30_000, 1001)
_At = Annotated[float, Number("at", 0, LONGEST_S)]
_Label = Annotated[str, Field(max_length=200)]


def read_fps(fps: object) -> Fraction:
    """Frames a second: a number 1 … 240, or "30000/1001"; 23.976, 29.97, 59.94 and the like mean the rates of NTSC."""
    if isinstance(fps, str):
        if _FPS_TEXT.fullmatch(fps) is None:  # Fraction would also read 1e999999999, for ever
            raise BadControl(f'fps is {shown(fps)}; expected a number or for example "30000/1001"')
        rate = Fraction(fps)
        if not FPS[0] <= rate <= FPS[1]:
            raise OutOfRange("fps", fps, *FPS)
        return rate if rate.denominator in (1, 1001) else _nearest_rate(float(rate))
    return _nearest_rate(check_number("fps", fps, *FPS))


def _nearest_rate(fps: float) -> Fraction:
    """NTSC's rates are written in two or three digits; others are taken as they are."""
    whole = round(fps)
    if fps != whole and abs(fps - whole * 1000 / 1001) < 0.006:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def _check_fps(fps: object) -> object:
    read_fps(fps)
    return fps


_FPS_SCHEMA = {"anyOf": [range_schema(*FPS), {"type": "string", "pattern": r"^[0-9]{1,6}(/1001)?$"}]}


class TimelineSection(MoodFields):
    """From here on the music is otherwise: the fields named change, the others stay as they were."""

    at: _At
    """Where it begins."""
    over: Over = Field(default=None, examples=[1.5, "2 bars"])
    """How long the change takes; null or left out: at once where the fields may change at once."""
    name: _Label | None = None
    """What people call it."""


class TimelineHit(Model):
    """A place that the music is to strike, exactly there."""

    at: _At
    strength: Annotated[float, Number("strength", 0, 1)] = 1.0
    """From 0.5 on, silence follows until the next beats."""
    name: _Label | None = None


class TimelineCut(Model):
    """A cut seen in the picture: the beat should fall there, if that can be had."""

    at: _At
    weight: Annotated[float, Number("weight", 0, 1)] = 1.0
    """How much it matters among the others."""


class LoudnessGoal(Model):
    """How loud the whole file is to be."""

    lufs: Annotated[float, Number("loudness.lufs", -50, -5)] = -14.0
    """Integrated, ITU-R BS.1770."""
    true_peak_db: Annotated[float, Number("loudness.true_peak_db", -20, 0)] = -1.0
    """No sample that a player decodes goes above it, nor what lies between samples."""


class TimelineDuck(Model):
    """How the music gives way to speech."""

    under: Literal["speech", "nothing"] = "speech"
    gain_db: Annotated[float, Number("duck.gain_db", -60, 0)] = -12.0
    """At least so far down; further where the music would still be too loud under the voice."""
    attack: Annotated[float, Number("duck.attack", 0.02, 5)] = 0.2
    """Seconds on the way down; it is over when speech begins."""
    release: Annotated[float, Number("duck.release", 0.02, 5)] = 0.4
    """Seconds on the way up again."""


class Redo(Model):
    """A region to be composed once more, by another seed; all else stays as it is, to the sample."""

    start: Annotated[float, Number("redo.start", 0, LONGEST_S)]
    end: Annotated[float, Number("redo.end", 0, LONGEST_S)]
    seed: Annotated[int, BeforeValidator(check_seed), WithJsonSchema(SEED_SCHEMA)]

    @field_validator("end")
    @classmethod
    def _after_its_start(cls, end: float, checked: Any) -> float:
        if end <= checked.data.get("start", 0.0):
            raise BadControl(f"redo.end is {end:g}; expected a place after redo.start, {checked.data['start']:g}")
        return end


def _as_objects(places: object) -> object:
    """A bare number is a place with nothing else said of it."""
    if not isinstance(places, list | tuple):
        return places
    return [{"at": place} if isinstance(place, int | float) and not isinstance(place, bool) else place
            for place in places]  # fmt: skip


class Timeline(MoodFields):
    """A piece: its length, what it begins with, what changes where, what it strikes, how it ends, how loud it is."""

    duration: Annotated[float, Number("duration", SHORTEST_S, LONGEST_S)]
    """Seconds; the piece is as long as the nearest whole number of the picture's frames."""
    fps: Annotated[float | str, BeforeValidator(_check_fps), WithJsonSchema(_FPS_SCHEMA)] | Absent = Field(
        default=None, examples=[30, 23.976, "30000/1001"]
    )
    """Frames a second of the picture; left out, the piece is as long as it is asked for, to the sample."""
    drop_frame: bool = False
    """Timecodes are counted in drop-frame, as 29.97 and 59.94 may be."""
    start_timecode: Annotated[str, Field(pattern=r"^\d\d:\d\d:\d\d[:;]\d\d$")] | None = None
    """Of the first frame; null or left out: 00:00:00:00."""
    seed: Annotated[int, BeforeValidator(check_seed), WithJsonSchema(SEED_SCHEMA)] | None = None
    """Same seed, same timeline: same music. Null or left out: a new one."""
    sections: Annotated[list[TimelineSection], Field(max_length=MOST_SECTIONS)] = []
    """In any order; no two begin at the same place."""
    hits: Annotated[list[TimelineHit], BeforeValidator(_as_objects), Field(max_length=MOST_HITS)] = []
    """Marked places: struck exactly there."""
    cuts: Annotated[list[TimelineCut], BeforeValidator(_as_objects), Field(max_length=MOST_CUTS)] = []
    """Cuts of the picture that are not marked: tempo is chosen so that beats fall on them, as far as that goes."""
    speech: Annotated[list[tuple[float, float]], Field(max_length=MOST_SPANS)] = []
    """Where somebody speaks: starts and ends."""
    ending: Literal["cadence", "ring", "fade", "stop", "loop"] = "cadence"
    loudness: LoudnessGoal | Absent = None
    """Left out: the stream's own level."""
    duck: TimelineDuck | Absent = None
    """Left out: the music gives way where there is speech, as by default."""
    tempo_range: Annotated[float, Number("tempo_range", 0, 0.25)] | None = Field(default=None, examples=[0.08])
    """How far the tempo may depart from what is asked for, as a share, so that beats fall on cuts and hits. Null or
    left out: 0.08 where a tempo is asked for in numbers, 0.15 where the mood decides."""
    redo: Annotated[list[Redo], Field(max_length=MOST_REDONE)] = []
    """Regions composed once more."""

    @field_validator("sections")
    @classmethod
    def _in_order(cls, sections: list[TimelineSection]) -> list[TimelineSection]:
        ordered = sorted(sections, key=lambda section: section.at)
        for one, other in zip(ordered, ordered[1:], strict=False):
            if one.at == other.at:
                raise BadControl(f"sections has two that begin at {one.at:g} s; expected one for each place")
        return ordered

    @model_validator(mode="before")
    @classmethod
    def _short_enough(cls, asked: Any) -> Any:
        if not isinstance(asked, Mapping):
            return asked
        fields = [asked, *sections] if isinstance(sections := asked.get("sections", []), list) else [asked]
        check_prompts(fields, "timeline and sections")
        return asked

    @model_validator(mode="after")
    def _within_the_piece(self) -> Timeline:
        for field in ("sections", "hits", "cuts"):
            for index, place in enumerate(getattr(self, field)):
                if place.at >= self.duration:
                    raise OutOfRange(f"{field}.{index}.at", place.at, 0, self.duration)
        for index, redo in enumerate(self.redo):
            if redo.end > self.duration:
                raise OutOfRange(f"redo.{index}.end", redo.end, 0, self.duration)
        for index, (start, end) in enumerate(self.speech):
            if not 0 <= start < end <= LONGEST_S:
                expected = f"expected a start and a later end in seconds, up to {LONGEST_S:g}"
                raise BadControl(f"speech.{index} is {start:g} … {end:g}; {expected}")
        if self.drop_frame and self.frame_rate % _NTSC_DROP:
            raise BadControl(f"drop_frame is true at {shown(self.fps)} fps; only 29.97 and 59.94 are counted so")
        return self

    @property
    def frame_rate(self) -> Fraction:
        """Frames of the picture a second, exactly; `FPS_DEFAULT` where none were named."""
        return FPS_DEFAULT if self.fps is None else read_fps(self.fps)

    @property
    def num_frames(self) -> int:
        """Frames of sound: those of a whole number of the picture's frames, where it has such."""
        seconds = Fraction(self.duration)
        if self.fps is not None:
            seconds = max(1, round(seconds * self.frame_rate)) / self.frame_rate
        return round(seconds * FRAMES_PER_SECOND)

    def refitted(self, duration: float, ending: str | None = None) -> Timeline:
        """The same with another length, be it longer; what lies beyond is left out. Raises `OutOfRange`."""
        asked = self.asked() | {"duration": duration}
        for field in ("sections", "hits", "cuts"):
            asked[field] = [place.asked() for place in getattr(self, field) if place.at < duration]
        asked["speech"] = [(start, min(end, duration)) for start, end in self.speech if start < duration]
        asked["redo"] = [redo.asked() for redo in self.redo if redo.end <= duration]
        return parse_timeline(asked if ending is None else asked | {"ending": ending})

    @property
    def tempo_width(self) -> float:
        """How far the tempo may depart, as a share."""
        if self.tempo_range is not None:
            return self.tempo_range
        prompts = [fields.understood for fields in (self, *self.sections)]
        is_asked = any(fields.bpm is not None for fields in (self, *self.sections))
        is_asked |= any(prompt is not None and prompt.bpm is not None for prompt in prompts)
        return ASKED_TEMPO_RANGE if is_asked else OPEN_TEMPO_RANGE

    @cached_property
    def plan(self) -> Plan:
        """How it is performed. Worked out once, which may take seconds for hours of picture; pickled with the rest."""
        return fit(self)

    def model_copy(self, **kwargs: Any) -> Self:
        """A copy that is planned anew: what it is updated with may change the plan."""
        copy = super().model_copy(**kwargs)
        copy.__dict__.pop("plan", None)
        return copy


def parse_timeline(obj: object) -> Timeline:
    """Read a timeline in JSON. Raises `UnknownName`, `OutOfRange` or `BadControl`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f'timeline is {shown(obj)}; expected an object with "duration"')
    return parse(Timeline, obj)
