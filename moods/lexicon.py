"""The words that a prompt's language is read by. In: a text; out: its words, and what each does.

A lexicon in `presets/lexicon.toml`, read once. Any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from moods.mood import Mood, find_mood, find_style, list_moods, read_preset, styles
from moods.reader import Span
from moods.spelling import HAN, KANA, Spelling, bare

_LONGEST_WORDS, _LONGEST_RUN = 3, 8
_PIECE = re.compile(
    rf"w/o\b|[{HAN}{KANA}]+|(?:(?![{HAN}{KANA}])[^\W_])+(?:['’&.-](?:(?![{HAN}{KANA}])[^\W_])+)*"
    "|[\U0001f000-\U0001faff\u2190-\u2bff]|[、/&+]|[,.;:!?，。；…]"
)
_BOUNDARY = frozenset(",.;:!?，。；…")


@dataclass(frozen=True, slots=True)
class Term:
    """What a word means, alone."""

    mood: Mood | None = None
    style: str | None = None
    deltas: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of valence, energy, tension
    layer: str | None = None
    instrument: str | None = None
    is_out: bool = False  # "drumless": says by itself that it is to be left out

    @property
    def is_part(self) -> bool:
        """A part of the band, which can be left out."""
        return self.layer is not None or self.instrument is not None


@dataclass(frozen=True, slots=True)
class Modifier:
    """What a word does to another one."""

    factor: float = 1.0  # of the word behind it; below 0: it is not wanted
    gain_db: float | None = None  # of a layer
    is_behind: bool = False  # it stands behind what it changes
    is_only: bool = False
    joins: bool = False  # what was said of the word before it, is said of the next


@dataclass(slots=True)
class Word:
    """A word where it stands. `term` None: it is not in the lexicon."""

    text: str
    span: Span
    term: Term | None
    factor: float = 1.0
    gain_db: float | None = None
    is_only: bool = False


@dataclass(frozen=True, slots=True)
class Instrument:
    """`styles` have it in their bands, likeliest first."""

    name: str
    styles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lexicon:
    terms: dict[str, Term | Modifier]
    ignored: frozenset[str]
    instruments: dict[str, Instrument]


@cache
def _lexicon() -> _Lexicon:
    table = read_preset("lexicon.toml")
    terms: dict[str, Term | Modifier] = {}
    for row in table["modifiers"]:
        fields = {name: value for name, value in row.items() if name != "terms"}
        terms |= {bare(word): Modifier(**fields) for word in row["terms"]}
    for row in table["words"]:
        terms |= {bare(word): _term(row) for word in row["terms"]}
    instruments = {row["name"]: Instrument(row["name"], tuple(row["styles"])) for row in table["instruments"]}
    for row in table["instruments"]:
        terms |= {bare(word): Term(instrument=row["name"]) for word in (row["name"], *row["terms"])}
    terms |= {bare(name): Term(style=style.name) for style in styles() for name in (style.name, style.name_zh)}
    for mood in reversed(list_moods()):
        for name in mood.names:
            also = terms.get(bare(name))
            terms[bare(name)] = Term(mood, also.style if isinstance(also, Term) else None)
    return _Lexicon(terms, frozenset(map(bare, table["ignored"])), instruments)


def _term(row: dict[str, Any]) -> Term:
    return Term(
        mood=find_mood(row["mood"]) if "mood" in row else None,
        style=find_style(row["style"]) if "style" in row else None,
        deltas=(row.get("valence", 0.0), row.get("energy", 0.0), row.get("tension", 0.0)),
        layer=row.get("layer"),
        is_out=row.get("is_out", False),
    )


def find_instrument(name: str) -> Instrument:
    """The instrument that a term names."""
    return _lexicon().instruments[name]


def read_words(text: Spelling) -> list[Word]:
    """The words of `text` that may mean something, each with what the words around it say of it."""
    words: list[Word] = []
    modifier, kept, is_joined = Modifier(), Modifier(), False
    for piece, span, known in _known_pieces(text):
        if piece in _BOUNDARY:
            modifier, is_joined = Modifier(), False
        elif isinstance(known, Modifier):
            if known.is_behind:
                _change(words[-1:], known)
            elif known.joins:
                is_joined = True
            else:
                gain_db = modifier.gain_db if known.gain_db is None else known.gain_db
                is_only = known.is_only or modifier.is_only
                modifier = Modifier(modifier.factor * known.factor, gain_db, is_only=is_only)
                if known.is_only and words and words[-1].span[1] + 1 >= span[0]:
                    words[-1].is_only = True  # "drums only"; where a part follows, it is that which is meant
        else:
            word = Word(text.lower[slice(*span)], span, known)
            if modifier == Modifier() and is_joined and _carries_on(words, word):
                modifier = kept
            _change([word], modifier)
            _lend_negation(words, word, text)
            if modifier.is_only and len(words) > 0 and known is not None and known.is_part:
                words[-1].is_only = False
            words.append(word)
            modifier, kept, is_joined = Modifier(), modifier, False
    return words


def _change(words: list[Word], modifier: Modifier) -> None:
    for word in words:
        word.factor *= modifier.factor
        word.gain_db = modifier.gain_db if word.gain_db is None else word.gain_db
        word.is_only |= modifier.is_only


def _carries_on(words: list[Word], word: Word) -> bool:
    """Is what was said of the last word said of this one too? "Not sad or dark"; "no drums and bass"."""
    return bool(words) and words[-1].factor < 0 and (_is_part(words[-1]) == _is_part(word))


def _lend_negation(words: list[Word], word: Word, text: Spelling) -> None:
    """In "no heavy drums" it is the drums that are not wanted, and nothing is said of heavy."""
    if not words or not _is_part(word) or word.factor < 0:
        return
    before = words[-1]
    if before.factor < 0 and not _is_part(before) and not text.plain[before.span[1] : word.span[0]].strip():
        word.factor, word.gain_db = before.factor, before.gain_db
        words.pop()


def _is_part(word: Word) -> bool:
    return word.term is not None and word.term.is_part


def _known_pieces(text: Spelling) -> Iterator[tuple[str, Span, Term | Modifier | None]]:
    """The text cut into known terms, longest first, and the rest; ignored words are left out."""
    lexicon = _lexicon()
    pieces = list(_PIECE.finditer(text.plain))
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        if re.match(f"[{HAN}{KANA}]", piece[0]):
            yield from _run(piece, lexicon)
            index += 1
            continue
        for count in range(min(_LONGEST_WORDS, len(pieces) - index), 0, -1):
            phrase = " ".join(each[0] for each in pieces[index : index + count])
            known = lexicon.terms.get(phrase) or (_stemmed(phrase, lexicon) if count == 1 else None)
            if known is not None or count == 1:
                if known is not None or phrase in _BOUNDARY or (phrase not in lexicon.ignored and phrase.isalnum()):
                    yield phrase, (piece.start(), pieces[index + count - 1].end()), known
                elif phrase not in lexicon.ignored and phrase not in "、/&+":
                    yield phrase, piece.span(), None
                index += count
                break


_ENDINGS = ("iness", "ness", "ly", "es", "s", "y")
_ARABIC_BEGINNINGS = ("وال", "بال", "لل", "ال", "و")


def _stemmed(word: str, lexicon: _Lexicon) -> Term | Modifier | None:
    """sadness, sadly, horrors: the word without its ending; Korean without particles, Arabic without its article."""
    if "\uac00" <= word[0] <= "\ud7a3":
        stems = [word[:end] for end in range(len(word) - 1, 1, -1)]
    elif "\u0600" <= word[0] <= "\u06ff":
        stems = [word.removeprefix(beginning) for beginning in _ARABIC_BEGINNINGS if word.startswith(beginning)]
    else:
        stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
        stems += [word[:-5] + "y"] if word.endswith("iness") else []
        stems = [stem for stem in stems if len(stem) > 2]
    return next((term for stem in stems if isinstance(term := lexicon.terms.get(stem), Term)), None)


def _run(piece: re.Match[str], lexicon: _Lexicon) -> Iterator[tuple[str, Span, Term | Modifier | None]]:
    """A run of Chinese or Japanese, which has no blanks."""
    run, begin = piece[0], piece.start()
    rest = index = 0
    while index <= len(run):
        ends = range(min(len(run), index + _LONGEST_RUN), index, -1)
        longest = next((run[index:end] for end in ends if run[index:end] in lexicon.terms
                        or run[index:end] in lexicon.ignored), "")  # fmt: skip
        if longest or index == len(run):
            if rest < index:
                yield run[rest:index], (begin + rest, begin + index), None
            if longest in lexicon.terms:
                yield longest, (begin + index, begin + index + len(longest)), lexicon.terms[longest]
            rest = index + len(longest)
        index += len(longest) or 1
