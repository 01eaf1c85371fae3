"""What a marker asks for. In: its name, comment and colour; out: a section, a hit, or a place that matters.

Remembers nothing; any thread. The rule of docs/timelines.md, for the name and the comment, which counts more:

1. `mood: epic`, `energy 0.8`, `bpm 120, key: D minor`, the name of a mood or style: a section that begins there;
2. `hit`, `hit 0.7`, `hit: door`, `!`: a hit; `section: B`: a section of that name; `bar 12`, `beat 12.3`: nothing;
3. a red marker: a hit; a chapter: a section;
4. words all of which we know: a section; anything else: a place like a cut of full weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from moods import lexicon
from moods.errors import shown
from moods.mood import list_moods, styles_by_name
from moods.prompt import resolve_prompt
from moods.reader import read_exact
from moods.spelling import spelled
from streaming.files.exchange.sequence import Mark

NUMBERS = ("valence", "energy", "tension", "bpm", "density", "brightness", "temperature", "novelty")
WORDS = ("mood", "prompt", "style", "key")
MAX_PROMPT = 300

_FIELD = re.compile(rf"({'|'.join((*NUMBERS, *WORDS, 'tempo', 'over'))})\s*([:=]?)\s*(.+)", re.IGNORECASE | re.DOTALL)
_PROMPT = re.compile(r"prompt\s*[:=]\s*(.+)", re.IGNORECASE | re.DOTALL)
_HIT = re.compile(r"(?:hit|!)(?:\s*[:=]?\s*([01](?:\.\d+)?))?(?:\s*:\s*(?P<name>.+))?", re.IGNORECASE)
_SECTION = re.compile(r"section\s*:\s*(.+)", re.IGNORECASE)
_OURS = re.compile(r"(?:bar|beat)\s+\d+(?:[.:]\d+)?", re.IGNORECASE)
_UNNAMED = re.compile(
    r"(?:marker|chapter|to-?do|标记|標記|マーカー|마커|marcador|marqueur|marke)?\s*[\d.:;]*", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?\d{1,6}(?:[.,]\d{1,6})?")
_WEIGHTED = re.compile(r"[a-z]+=\d+(?:\.\d+)?(?:[\s+/]+[a-z]+=\d+(?:\.\d+)?)*", re.IGNORECASE)


@dataclass(slots=True)
class Asked:
    """What a marker, or a row of a table, asks for at its place."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Of a section: JSON values, as `moods.timeline.TimelineSection` reads them."""
    is_section: bool = False
    is_hit: bool = False
    is_ours: bool = False
    """A bar or beat that we have marked ourselves: it asks for nothing."""
    strength: float | None = None
    name: str = ""

    def lay_over(self, other: Asked) -> bool:
        """Take what another asks for besides; a mood or prompt takes the other's place. False: it asks for nothing."""
        if {"mood", "prompt"} & other.fields.keys():
            self.fields = {name: value for name, value in self.fields.items() if name not in ("mood", "prompt")}
        self.fields |= other.fields
        self.is_section, self.is_hit, self.is_ours = (
            self.is_section or other.is_section, self.is_hit or other.is_hit, self.is_ours or other.is_ours,
        )  # fmt: skip
        self.strength = self.strength if other.strength is None else other.strength
        self.name = self.name or other.name
        return bool(other)

    def __bool__(self) -> bool:
        return bool(self.fields) or self.is_section or self.is_hit or self.is_ours


@cache
def _names() -> Mapping[str, tuple[str, str]]:
    """What alone names a mood or a style, and the field that it then is."""
    moods = {name.casefold(): ("mood", mood.name) for mood in list_moods() for name in mood.names}
    styles = {name.casefold(): ("style", name) for name in styles_by_name()}
    return MappingProxyType(styles | moods)


def read_mark(mark: Mark) -> Asked:
    """Tell what a marker asks for; nothing: it is a place that matters. Raises `ValueError` for `energy: high`."""
    if mark.kind in ("bar", "beat"):
        return Asked(is_ours=True)
    if mark.kind == "section":
        return Asked(dict(mark.fields), is_section=True, name=mark.name.removeprefix("section:").strip())
    asked = read_words(mark.name)
    says_more = asked.lay_over(read_words(mark.comment))
    says_more |= asked.lay_over(Asked(dict(mark.fields), strength=mark.strength))
    if mark.kind == "hit":
        asked.is_hit, asked.name = True, asked.name or mark.name
        return asked
    if not asked and mark.is_red:
        asked = Asked(is_hit=True)
    if not asked and (mark.is_chapter or mark.name or mark.comment):
        prompt = next(filter(is_prompt, (mark.name, mark.comment)), "")
        asked = Asked(fields={"prompt": prompt} if prompt else {}, is_section=mark.is_chapter)
    if not asked.name and not _UNNAMED.fullmatch(mark.name) and (says_more or not read_words(mark.name)):
        asked.name = mark.name
    if asked.is_hit and not asked.name and not says_more:
        asked.name = mark.comment
    return asked


def is_prompt(text: str) -> bool:
    """Whether a free text is made of words for music alone: editors write much else to themselves, such as
    "Cut to black", of which a prompt would make something all the same."""
    if len(text) > MAX_PROMPT or _UNNAMED.fullmatch(text.strip()) is not None:
        return False
    spelling = spelled(text)
    words = lexicon.read_words(spelling.without(read_exact(spelling).spans))
    return all(word.term is not None for word in words) and resolve_prompt(text).is_understood


def read_words(text: str) -> Asked:
    """Read words that all say something to us; empty where any does not. Raises `ValueError` for `energy: high`."""
    prompt = _PROMPT.fullmatch(text.strip())
    if prompt is not None:
        return Asked(fields={"prompt": prompt[1].strip()})
    asked = Asked()
    for piece in (piece.strip() for piece in re.split(r"[,;\n，；、]+", text)):
        if piece and not _read_piece(piece, asked):
            return Asked()
    return asked


def _read_piece(piece: str, asked: Asked) -> bool:
    if (named := _names().get(piece.casefold())) is not None:
        asked.fields[named[0]] = named[1]
    elif (hit := _HIT.fullmatch(piece)) is not None:
        asked.is_hit, asked.name = True, (hit["name"] or asked.name).strip()
        asked.strength = None if hit[1] is None else float(hit[1])
    elif (section := _SECTION.fullmatch(piece)) is not None:
        asked.is_section, asked.name = True, section[1].strip()
    elif _OURS.fullmatch(piece) is not None:
        asked.is_ours = True
    elif (said := _FIELD.fullmatch(piece)) is not None:
        return _read_field(said[1].casefold(), bool(said[2]), said[3].strip(), asked)
    else:
        return False
    return True


def _read_field(name: str, is_explicit: bool, text: str, asked: Asked) -> bool:
    name = "bpm" if name == "tempo" else name
    text = text.casefold().removesuffix("bpm").strip() if name == "bpm" else text
    if not is_explicit and (name in WORDS or _NUMBER.fullmatch(text) is None):
        return False  # "style guide", "over the hills"
    asked.fields[name] = read_value(name, text)
    return True


def read_value(name: str, text: str) -> Any:
    """The JSON value of a field. Raises `ValueError`."""
    number = _NUMBER.fullmatch(text)
    if name in (*NUMBERS, "over") and number is not None:
        return float(text.replace(",", "."))
    if name in NUMBERS:
        raise ValueError(f"{name} is {shown(text)}; write a number, for example {name}: 0.8")
    if name == "style" and _WEIGHTED.fullmatch(text):
        pairs = (pair.split("=") for pair in re.split(r"[\s+/]+", text))
        return {style: float(weight) for style, weight in pairs}
    return text
