"""Moods: as they sound, as a prompt was read, as they can be asked for by name."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from moods.intent import LAYERS, SECTIONS, STYLES
from moods.mood import style_names
from moods.prompt import Prompt
from moods.timeline import Timeline
from streaming.messages.kinds import OneOf, Style, Unit, Valence, exact


@exact
class Layer(TypedDict):
    """One layer of the mix."""

    gain_db: float
    plays: bool
    """The form, energy and gain let it play now."""


@exact
class Mood(TypedDict):
    """A mood as it sounds."""

    valence: Valence
    energy: Unit
    tension: Unit
    style: Style
    bpm: float
    key: str
    density: Unit
    brightness: Unit
    layers: dict[Annotated[str, OneOf(LAYERS)], Layer]
    temperature: float
    novelty: Unit
    section: Annotated[str, OneOf(SECTIONS)]


@exact
class ExplainedPrompt(TypedDict):
    """What a prompt was taken to mean."""

    prompt: str
    understood: bool
    """False: nothing was, and a steer by it leaves the mood as it is."""
    mood: dict[str, float]
    """The presets nearest to it, and their weights; none where it leads to no mood, and then no point is told."""
    valence: NotRequired[Valence]
    energy: NotRequired[Unit]
    tension: NotRequired[Unit]
    style: NotRequired[Style]
    bpm: NotRequired[float]
    """Where the words name one, or a preset has one."""
    key: NotRequired[str]
    """Where the words name one."""
    layers: NotRequired[dict[Annotated[str, OneOf(LAYERS)], float | Literal["mute"]]]
    """The layers that the words name: a gain in dB, or that they are left out."""
    instruments: NotRequired[dict[str, Annotated[str, OneOf(STYLES)]]]
    """The instruments that the words name, and the style brought in for each: it has them in its band, and the seed
    chooses among those."""
    seconds: NotRequired[float]
    """The length that the words name; a file is made so long where nothing else says how long."""
    unknown: list[str]
    """Words that changed nothing."""


def explained(prompt: Prompt) -> ExplainedPrompt:
    point = prompt.point
    out = ExplainedPrompt(
        prompt=prompt.text, understood=prompt.is_understood, mood=dict(prompt.moods), unknown=list(prompt.unknown)
    )
    if prompt.moods:
        out["valence"], out["energy"], out["tension"] = (
            round(value, 3) for value in (point.valence, point.energy, point.tension)
        )
        out["style"] = style_names(point.style)
    if (bpm := prompt.bpm or (point.bpm if prompt.moods else None)) is not None:
        out["bpm"] = bpm
    if prompt.key is not None:
        out["key"] = str(prompt.key)
    if prompt.layers:
        out["layers"] = dict(prompt.layers)
    if prompt.instruments:
        out["instruments"] = dict(prompt.instruments)
    if prompt.seconds is not None:
        out["seconds"] = prompt.seconds
    return out


@exact
class Preset(TypedDict):
    """A mood that has a name; fields that are absent are left to the style."""

    name: str
    name_zh: str
    zh: str
    """The same as `name_zh`."""
    aliases: list[str]
    valence: Valence
    energy: Unit
    tension: Unit
    style: Style
    bpm: NotRequired[float]
    density: NotRequired[Unit]
    brightness: NotRequired[Unit]
    temperature: NotRequired[float]
    key: NotRequired[str]


@exact
class StyleName(TypedDict):
    """A style in English and Chinese."""

    name: Annotated[str, OneOf(STYLES)]
    zh: str


@exact
class StingerName(TypedDict):
    """A stinger in English and Chinese."""

    name: str
    zh: str
    beats: Annotated[int, Field(ge=1)]
    """How long it is."""


@exact
class Clip(TypedDict):
    """A clip as platforms have them, by the `preset` of a render."""

    name: str
    timeline: Timeline
    """What it says where nothing else is asked."""


@exact
class Moods(TypedDict):
    """Everything that can be asked for by name."""

    moods: list[Preset]
    styles: list[StyleName]
    stingers: list[StingerName]
    clips: list[Clip]
