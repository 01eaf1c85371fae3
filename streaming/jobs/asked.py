"""What a client asks of a job. In: JSON values; out: checked requests. Remembers nothing; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from moods.clip import clip_names, clip_timeline
from moods.errors import BadControl, shown
from moods.fields import SEED_SCHEMA, Absent, Model, MoodFields, Number, check_seed, one_of, parse
from moods.timeline import LONGEST_S, SHORTEST_S, LoudnessGoal, Timeline

FileFormat = Literal["wav", "flac", "mp3", "m4a", "opus", "ogg", "mp4"]
MarkerFormat = Literal["otio", "fcpxml", "xml", "edl", "csv", "json", "txt"]
MOST_VARIATIONS = 8
MOST_TAKE_CHARACTERS = 20_000_000
SECONDS_DEFAULT = 30.0


def _once_each(names: list[Any]) -> list[Any]:
    return list(dict.fromkeys(names))


class Webhook(Model):
    """Who is told when the job has ended."""

    url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")] = Field(
        examples=["https://example.org/done"]
    )
    """Sent a POST with the job as JSON, as GET answers it, up to five times until it is answered with 2xx."""
    secret: Annotated[str, Field(min_length=8, max_length=200)] | Absent = None
    """The key of the signature; left out: the server's own, the setting `webhook_secret`."""


class RenderRequest(MoodFields):
    """Music into files: a timeline, a take, or a mood; over a picture or by itself."""

    timeline: Timeline | Absent = None
    """What the piece does; it says the mood itself."""
    take: Annotated[str, Field(min_length=1, max_length=MOST_TAKE_CHARACTERS)] | Absent = Field(
        default=None, examples=["3f9c2a61b04d"]
    )
    """A station's id: what it has played so far; or a whole take, as GET /v1/stations/{id}/take answers it."""
    preset: Annotated[str, one_of(clip_names())] | Absent = None
    """Of a mood alone: a clip as platforms have them, whose length, form and ending it says where nothing else does."""
    seconds: Annotated[float, Number("seconds", SHORTEST_S, LONGEST_S)] | Absent = None
    """How long the files are; left out: as long as the timeline, the picture or the take, of a mood alone 30."""
    from_: Annotated[float, Number("from", 0, LONGEST_S)] | Absent = Field(default=None, alias="from")
    """Of a take: the second at which the files begin."""
    last_minutes: Annotated[float, Number("last_minutes", 0.02, LONGEST_S / 60)] | Absent = None
    """Of a take: only so much of its end."""
    seed: Annotated[int, BeforeValidator(check_seed), WithJsonSchema(SEED_SCHEMA)] | Absent = None
    """Same seed, same request: same music. Left out: a new one, which the report tells."""
    ending: Literal["cadence", "ring", "fade", "stop", "loop"] | Absent = None
    """How it ends; left out: with a cadence, or as the take does: given with a take, its music is fitted to the length
    anew. A timeline says it itself."""
    loudness: LoudnessGoal | Absent = None
    """How loud the files are; left out: as the timeline says, else -14 LUFS over a picture, else the stream's own."""
    formats: Annotated[
        list[FileFormat], AfterValidator(_once_each), Field(min_length=1, max_length=20)
    ] | Absent = Field(default=None, examples=[["wav", "mp3"]])  # fmt: skip
    """Left out: `wav`, or `mp4`, the clip with its music, where there is a picture."""
    bits: Literal[16, 24] = 24
    """Of a sample in wav and flac."""
    stems: bool = False
    """One more file for each layer; they sum to the mix."""
    unducked: bool = False
    """One more file in which the music does not give way to speech."""
    midi: bool = False
    """One more file with the notes, tempo and sections."""
    markers: Annotated[list[MarkerFormat], AfterValidator(_once_each), Field(max_length=20)] = []
    """Files with the beats, bars, sections and hits, for editing programs: `xml` is Final Cut Pro 7's, which Premiere
    reads, `txt` are Audacity's labels."""
    notices: bool = False
    """One more file with what the music was made of, and under which licences."""
    credentials: bool = True
    """Content Credentials: files that can hold them say under a signature that a machine made the music."""
    variations: Annotated[int, Field(ge=1, le=MOST_VARIATIONS)] = 1
    """So many pieces, each with the next seed; their files are numbered from the second on."""
    video: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | Absent = Field(
        default=None, examples=["5d0c9a6e4b1f2873"]
    )
    """A picture that has been sent before: the `upload` of an analysis or a render."""
    webhook: Webhook | Absent = None

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, name: str | None) -> str | None:
        if name is not None:
            clip_timeline(name, {})
        return name

    @model_validator(mode="after")
    def _said_once(self) -> RenderRequest:
        for name in sorted(self.model_fields_set - MoodFields.model_fields.keys()):
            if getattr(self, name) is None:
                raise BadControl(f"{name.rstrip('_')} is null; leave it out")
        moods = sorted(self.model_fields_set & MoodFields.model_fields.keys())
        whole = [name for name in ("timeline", "take") if getattr(self, name) is not None]
        if len(whole) == 2:
            raise BadControl("timeline and take are both given; expected one of them")
        if whole:
            others = ("preset",) if self.timeline is None else ("ending", "preset")
            for name in (*moods, *(name for name in others if getattr(self, name) is not None)):
                raise BadControl(f"{name} and {whole[0]} are both given; say {name} in the {whole[0]}")
        if self.take is None:
            for name, value in (("from", self.from_), ("last_minutes", self.last_minutes)):
                if value is not None:
                    raise BadControl(f"{name} is {value:g} and no take is given; it says which part of a take is meant")
        elif self.from_ is not None and self.last_minutes is not None:
            raise BadControl("from and last_minutes are both given; expected one of them")
        if self.take is not None and self.seed is not None:
            raise BadControl(f"seed is {self.seed} and a take is given, which has its own; leave seed out")
        if self.take is not None and self.variations > 1:
            raise BadControl(f"variations is {self.variations} and a take is given, which is one piece; leave it out")
        if self.timeline is not None and self.seconds is not None:
            raise BadControl(f"seconds is {self.seconds:g} and a timeline is given; say it as the timeline's duration")
        if self.timeline is not None and None not in (self.timeline.seed, self.seed):
            raise BadControl(f"seed is {self.seed} and the timeline has {self.timeline.seed}; expected one of them")
        return self

    @property
    def mood_fields(self) -> dict[str, Any]:
        """Those that were given, as JSON values."""
        return {name: value for name, value in self.asked().items() if name in MoodFields.model_fields}

    def asked(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


FILE_FORMATS: tuple[str, ...] = get_args(FileFormat)
MARKER_FORMATS: tuple[str, ...] = get_args(MarkerFormat)


def parse_render_request(obj: object) -> RenderRequest:
    """Read the body of POST /v1/renders, which may be a timeline itself. Raises `moods.errors.MoodsError`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f'request is {shown(obj)}; expected an object, for example {{"mood": "epic", "seconds": 15}}')
    if "duration" in obj and "timeline" not in obj:
        timeline = {name: value for name, value in obj.items() if name in Timeline.model_fields}
        obj = {name: value for name, value in obj.items() if name not in timeline} | {"timeline": timeline}
    return parse(RenderRequest, obj)


def timeline_of(request: RenderRequest, picture_s: float | None = None) -> dict[str, Any]:
    """The timeline that a request without one, and without a take, means; its duration may be missing.

    `picture_s` is the length of its picture.
    """
    fields: dict[str, Any] = dict(request.mood_fields)
    if (seconds := request.seconds or picture_s) is not None:
        fields["duration"] = seconds
    if request.ending is not None:
        fields["ending"] = request.ending
    return fields if request.preset is None else clip_timeline(request.preset, fields)


MEDIA_TYPES = {
    "wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "m4a": "audio/mp4", "opus": "audio/ogg",
    "ogg": "audio/ogg", "mp4": "video/mp4", "mid": "audio/midi", "otio": "application/json",
    "fcpxml": "application/xml", "xml": "application/xml", "edl": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8", "json": "application/json", "txt": "text/plain; charset=utf-8",
}  # fmt: skip
"""Of the files that are made, by the ends of their names."""
