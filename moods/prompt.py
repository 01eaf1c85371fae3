"""Free text to a point in mood space. In: a prompt in any language; out: what it asks for, and what it left unsaid.

What is exact is read by pattern, then words by a lexicon; what that does not have, by a sentence encoder. Remembers
the prompts read last; any thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from moods.harmony import Key
from moods.intent import LAYERS, STYLES
from moods.lexicon import Term, Word, find_instrument, read_words
from moods.mood import DEFAULT_MOOD, Mood, find_mood, list_moods, style_names, style_thresholds, style_weights
from moods.reader import Exact, read_exact
from moods.sentence import NOTHING, Meaning, understand
from moods.spelling import Spelling, spelled

STYLE_SHARE = 0.8  # of named styles, where a mood brings styles of its own
NEUTRAL = Mood("neutral", "中性", 0.15, 0.45, 0.15, style_weights("acoustic"))
INSTRUMENT_SHARE = 0.5  # of a style that is there for an instrument, beside a style that was named
SENTENCE_WEIGHT = 2.0  # of a sentence, beside a word that names a mood
MAX_NOTHING = 0.2  # share of a sentence's meaning that may be nothing, where it is understood
SURE_OF_STYLE = 0.5
SURE_OF_MOOD = 0.45  # share from which one new word counts beside those of the lexicon
MANY_WORDS = 2  # new ones that are a sentence, whatever each means alone
MAX_WORDS = 24  # of those that the lexicon does not have
AUDIBLE = 0.02  # above the energy from which a layer plays

Gain = float | Literal["mute"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt understood. What no word names is None or empty."""

    text: str
    moods: Mapping[str, float]  # nearest presets and their weights, sum 1; none where no word leads to a point
    point: Mood  # where it leads; what a station is opened with, too, of which the words say less
    unknown: tuple[str, ...]  # words that changed nothing
    is_understood: bool  # False: nothing of it was
    bpm: float | None = None
    key: Key | None = None
    seconds: float | None = None
    layers: Mapping[str, Gain] = field(default_factory=dict)
    instruments: Mapping[str, str] = field(default_factory=dict)  # and the style in whose band each plays


@dataclass(slots=True)
class _Found:
    moods: dict[str, float] = field(default_factory=dict)
    styles: dict[str, float] = field(default_factory=dict)
    deltas: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    layers: dict[str, Gain] = field(default_factory=dict)
    layer_words: dict[str, str] = field(default_factory=dict)  # by which they were named
    instruments: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def says_where(self) -> bool:
        """Something of it leads to a point."""
        return bool(self.moods or self.styles or self.instruments) or any(self.deltas)

    @property
    def asks_layers(self) -> bool:
        return any(gain != "mute" for gain in self.layers.values())

    def add(self, word: Word, term: Term) -> None:
        if term.layer is not None:
            self._add_layer(term.layer, word)
        elif term.instrument is not None:
            self._add_instrument(term.instrument, word)
        else:
            self.lead(term, word.factor)

    def lead(self, term: Term, factor: float) -> None:
        if term.mood is not None and factor > 0:
            self.moods[term.mood.name] = self.moods.get(term.mood.name, 0) + factor
        if term.mood is not None and factor < 0:
            away = (getattr(term.mood, name) - getattr(NEUTRAL, name) for name in ("valence", "energy", "tension"))
            self.deltas = [delta + factor * step for delta, step in zip(self.deltas, away, strict=True)]
        if term.style is not None and factor > 0:
            self.styles[term.style] = self.styles.get(term.style, 0) + factor
        self.deltas = [delta + factor * step for delta, step in zip(self.deltas, term.deltas, strict=True)]

    def _add_layer(self, layer: str, word: Word) -> None:
        assert word.term is not None
        self.layer_words[layer] = word.text
        if word.gain_db is not None:
            self.layers[layer] = word.gain_db
        else:
            self.layers[layer] = "mute" if word.factor < 0 or word.term.is_out else 0.0
        if word.is_only:
            self.layers = {**dict.fromkeys(LAYERS, "mute"), **self.layers}

    def _add_instrument(self, instrument: str, word: Word) -> None:
        if word.factor < 0:
            self.unknown.append(word.text)  # which of its instruments a style takes is the seed's
            return
        self.instruments.append(instrument)
        if word.is_only:
            self.layers["drums"] = "mute"


@lru_cache(maxsize=1024)
def resolve_prompt(text: str) -> Prompt:
    """Read a free text prompt. Nothing understood: the default mood, and every word in `unknown`."""
    spelling = spelled(text)
    exact = read_exact(spelling)
    rest = spelling.without(exact.spans)
    words = read_words(rest)
    found = _Found()
    for word in words:
        if word.term is not None:
            found.add(word, word.term)
    _add_meaning(found, rest, words)
    return _prompt(text, exact, found)


def _add_meaning(found: _Found, text: Spelling, words: list[Word]) -> None:
    """What the words mean that the lexicon does not have, alone and in their sentence."""
    new = [word for word in words if word.term is None]
    legible = [word for word in new if any(letter.isalpha() for letter in word.text)][:MAX_WORDS]
    if not legible:
        found.unknown += [word.text for word in new]
        return
    ends = [0, *(word.span[1] for word in words)]  # what negates a word stands between the one before and it
    unwanted = [
        (min(end, word.span[0]), word.span[1]) for end, word in zip(ends, words, strict=False) if word.factor < 0
    ]
    sentence, *alone = understand([text.without(unwanted).lower, *(word.text for word in legible)])
    says = {id(word): meaning for word, meaning in zip(legible, alone, strict=True) if _says_something(meaning)}
    for word in legible:
        if word.factor < 0 and id(word) in says:
            found.lead(Term(mood=find_mood(_likeliest(says[id(word)].moods)[0][0])), word.factor)
    wanted = [word for word in legible if word.factor > 0]
    is_sure = any(_likeliest_share(says[id(word)]) >= SURE_OF_MOOD for word in wanted if id(word) in says)
    is_asked = bool(wanted) and (is_sure or len(wanted) >= MANY_WORDS or not found.says_where)
    is_heard = is_asked and _says_something(sentence)
    found.unknown += [word.text for word in new if id(word) not in says or not (is_heard or word.factor < 0)]
    if is_heard:
        for name, share in _likeliest(sentence.moods):
            found.moods[name] = found.moods.get(name, 0.0) + SENTENCE_WEIGHT * share
        style, share = max(sentence.styles.items(), key=lambda item: item[1])
        if style != NOTHING and share >= SURE_OF_STYLE and not found.styles:
            found.styles[style] = 1.0


def _says_something(meaning: Meaning) -> bool:
    return meaning.moods[NOTHING] < MAX_NOTHING


def _likeliest_share(meaning: Meaning) -> float:
    return max(share for name, share in meaning.moods.items() if name != NOTHING)


def _likeliest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """The best few moods; their shares sum to 1."""
    best = sorted(((s, n) for n, s in shares.items() if n != NOTHING), reverse=True)[:3]
    best = [(share, name) for share, name in best if share >= best[0][0] / 3]
    total = sum(share for share, _ in best)
    return [(name, share / total) for share, name in best]


def _prompt(text: str, exact: Exact, found: _Found) -> Prompt:
    instruments = _played(found)
    point = _audible(_point(text, found, exact), found)
    is_exact = any(value is not None for value in (exact.bpm, exact.key, exact.seconds))
    is_understood = is_exact or found.says_where or bool(found.layers)
    unknown = tuple(dict.fromkeys([*exact.refused, *found.unknown]))
    return Prompt(
        text,
        _nearest(found, point) if found.says_where else {},
        point,
        unknown if unknown or is_understood else tuple(text.split()),  # known words, none of which says anything here
        is_understood,
        bpm=exact.bpm,
        key=exact.key,
        seconds=exact.seconds,
        layers=found.layers,
        instruments=instruments,
    )


def _played(found: _Found) -> dict[str, str]:
    """The style that brings each instrument: one that leads there already, or else its likeliest, which is added."""
    out: dict[str, str] = {}
    led_to = found.styles or {name: 1.0 for mood in found.moods for name in style_names(find_mood(mood).style)}
    asked = dict(found.styles)
    for name in found.instruments:
        homes = find_instrument(name).styles
        out[name] = next((style for style in homes if style in led_to), homes[0])
        if out[name] not in asked:
            share = INSTRUMENT_SHARE if asked else 1.0
            found.styles[out[name]] = found.styles.get(out[name], 0.0) + share
    return out


def _point(text: str, found: _Found, exact: Exact) -> Mood:
    total = sum(found.moods.values())
    parts = [(find_mood(name), weight / total) for name, weight in found.moods.items()]
    if not parts:
        parts = [(NEUTRAL if found.says_where or found.asks_layers else find_mood(DEFAULT_MOOD), 1.0)]
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
        bpm=exact.bpm or (None if found.styles else only.bpm), key=exact.key or only.key, density=only.density,
        brightness=only.brightness, temperature=only.temperature,
    )  # fmt: skip


def _audible(point: Mood, found: _Found) -> Mood:
    """The point with as much energy as the layers asked for need to play; what no energy brings is not understood."""
    energy = point.energy
    for layer, threshold in zip(LAYERS, style_thresholds(point.style), strict=True):
        if found.layers.get(layer, "mute") == "mute":
            continue
        if threshold + AUDIBLE > 1:
            del found.layers[layer]
            found.unknown.append(found.layer_words[layer])
        else:
            energy = max(energy, threshold + AUDIBLE)
    return replace(point, energy=energy)


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
