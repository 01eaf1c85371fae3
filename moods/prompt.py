"""Free text to a point in mood space. In: a prompt, English or Chinese; out: the nearest presets and the point.

A lexicon of words, read once, and nothing cleverer. Any thread.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from moods.intent import STYLES
from moods.mood import (
    DEFAULT_MOOD,
    Mood,
    find_mood,
    find_style,
    list_moods,
    read_preset,
    style_weights,
    styles,
)

STRONG, WEAK, NEGATIVE = 1.6, 0.5, -0.6
STYLE_SHARE = 0.8  # of named styles, where a mood brings styles of its own
NEUTRAL = Mood("neutral", "中性", 0.15, 0.45, 0.15, style_weights("acoustic"))
_WORD = re.compile(r"[a-z0-9]+(?:['&.-][a-z0-9]+)*|[\u3400-\u9fff]+")
_BPM = re.compile(r"(?<!\d)(\d{2,3})\s*(?:bpm|拍/分)")


@dataclass(frozen=True, slots=True)
class Term:
    """What one word does."""

    mood: Mood | None = None
    style: str | None = None
    deltas: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of valence, energy, tension
    factor: float | None = None  # of a modifier


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt understood: `point` is where it leads."""

    text: str
    moods: dict[str, float]  # nearest presets and their weights, sum 1
    point: Mood
    unknown: tuple[str, ...]  # words not understood
    is_understood: bool  # False: no word of it says where to go


@dataclass(slots=True)
class _Found:
    moods: dict[str, float] = field(default_factory=dict)
    styles: dict[str, float] = field(default_factory=dict)
    deltas: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    unknown: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.moods and not self.styles and not any(self.deltas)

    def add(self, term: Term, factor: float) -> None:
        if term.mood is not None and factor > 0:
            self.moods[term.mood.name] = self.moods.get(term.mood.name, 0) + factor
        if term.mood is not None and factor < 0:
            away = (getattr(term.mood, name) - getattr(NEUTRAL, name) for name in ("valence", "energy", "tension"))
            self.deltas = [delta + factor * step for delta, step in zip(self.deltas, away, strict=True)]
        if term.style is not None and factor > 0:
            self.styles[term.style] = self.styles.get(term.style, 0) + factor
        self.deltas = [delta + factor * step for delta, step in zip(self.deltas, term.deltas, strict=True)]


@cache
def _lexicon() -> tuple[dict[str, Term], frozenset[str]]:
    """Terms by word or phrase, and the words that mean nothing here."""
    table = read_preset("lexicon.toml")
    terms: dict[str, Term] = {}
    for kind, factor in (("strong", STRONG), ("weak", WEAK), ("negative", NEGATIVE)):
        terms |= {word: Term(factor=factor) for word in table["modifiers"][kind]}
    for row in table["words"]:
        deltas = (row.get("valence", 0.0), row.get("energy", 0.0), row.get("tension", 0.0))
        mood = find_mood(row["mood"]) if "mood" in row else None
        style = find_style(row["style"]) if "style" in row else None
        terms |= {word: Term(mood, style, deltas) for word in row["terms"]}
    terms |= {name: Term(style=style.name) for style in styles() for name in (style.name, style.name_zh)}
    for mood in reversed(list_moods()):
        for name in mood.names:
            also = terms.get(name.casefold())
            terms[name.casefold()] = Term(mood, also.style if also else None)
    return terms, frozenset(table["modifiers"]["ignored"])


def _words(text: str) -> list[tuple[str, Term | None]]:
    """The prompt cut into known terms, longest first, and the rest; ignored words are left out."""
    terms, ignored = _lexicon()
    pieces: list[str] = _WORD.findall(text)
    out: list[tuple[str, Term | None]] = []
    index = 0
    while index < len(pieces):
        if pieces[index][0] >= "\u3400":
            out += _chinese(pieces[index], terms, ignored)
            index += 1
            continue
        for count in (3, 2, 1):
            phrase = " ".join(pieces[index : index + count])
            term = terms.get(phrase) or (_stem(phrase, terms) if count == 1 else None)
            if term is not None or count == 1:
                if term is not None or phrase not in ignored:
                    out.append((phrase, term))
                index += count
                break
    return out


def _stem(word: str, terms: dict[str, Term]) -> Term | None:
    """sadness, sadly, horrors: the word without its ending."""
    for ending in ("iness", "ness", "ly", "es", "s", "y"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2:
            term = terms.get(stem) or (terms.get(stem + "y") if ending == "iness" else None)
            if term is not None:
                return term
    return None


def _chinese(run: str, terms: dict[str, Term], ignored: Iterable[str]) -> list[tuple[str, Term | None]]:
    out: list[tuple[str, Term | None]] = []
    rest, index = "", 0
    while index < len(run):
        longest = next((run[index:end] for end in range(min(len(run), index + 6), index, -1)
                        if run[index:end] in terms or run[index:end] in ignored), "")  # fmt: skip
        if not longest:
            rest, index = rest + run[index], index + 1
            continue
        if rest:
            out.append((rest, None))
            rest = ""
        if longest in terms:
            out.append((longest, terms[longest]))
        index += len(longest)
    return [*out, (rest, None)] if rest else out


def resolve_prompt(text: str) -> Prompt:
    """Read a free text prompt. Nothing understood: the default mood, and every word in `unknown`."""
    clean = unicodedata.normalize("NFKC", text).casefold()
    tempo = _BPM.search(clean)
    bpm = float(tempo[1]) if tempo and 40 <= int(tempo[1]) <= 240 else None
    found, factor = _Found(), 1.0
    for word, term in _words(_BPM.sub(" ", clean) if bpm is not None else clean):
        if term is not None and term.factor is not None:
            factor *= term.factor
            continue
        if term is None:
            found.unknown.append(word)
        else:
            found.add(term, factor)
        factor = 1.0
    point = _point(text, found, bpm)
    is_understood = bpm is not None or not found.is_empty
    return Prompt(text, _nearest(found, point), point, tuple(dict.fromkeys(found.unknown)), is_understood)


def _point(text: str, found: _Found, bpm: float | None) -> Mood:
    total = sum(found.moods.values())
    parts = [(find_mood(name), weight / total) for name, weight in found.moods.items()]
    if not parts:
        parts = [(find_mood(DEFAULT_MOOD) if found.is_empty else NEUTRAL, 1.0)]
    point = [sum(w * getattr(m, name) for m, w in parts) for name in ("valence", "energy", "tension")]
    valence, energy, tension = (a + b for a, b in zip(point, found.deltas, strict=True))
    style = tuple(sum(w * m.style[i] for m, w in parts) for i in range(len(STYLES)))
    if found.styles:
        share = STYLE_SHARE if found.moods else 1.0
        asked = style_weights(found.styles)
        style = tuple(share * a + (1 - share) * b for a, b in zip(asked, style, strict=True))
    only = parts[0][0] if len(parts) == 1 else NEUTRAL
    return Mood(
        text, text, min(1.0, max(-1.0, valence)), min(1.0, max(0.0, energy)), min(1.0, max(0.0, tension)), style,
        bpm=bpm or (None if found.styles else only.bpm), key=only.key, density=only.density,
        brightness=only.brightness, temperature=only.temperature,
    )  # fmt: skip


def _nearest(found: _Found, point: Mood) -> dict[str, float]:
    """The presets named, or else the three nearest to the point."""
    weights = found.moods
    if not weights:

        def distance(mood: Mood) -> float:
            apart = math.hypot(
                (mood.valence - point.valence) / 2, mood.energy - point.energy, mood.tension - point.tension
            )
            return apart + 0.25 * sum(abs(a - b) for a, b in zip(mood.style, point.style, strict=True))

        nearest = sorted(list_moods(), key=distance)[:3]
        weights = {mood.name: math.exp(-6 * distance(mood)) for mood in nearest}
    total = sum(weights.values())
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    return {name: round(weight / total, 3) for name, weight in ordered}
