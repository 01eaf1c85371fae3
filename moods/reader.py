"""What a prompt says exactly: tempo, key and length. In: a text; out: values, and where they stood.

Words of many languages, read by pattern. Remembers nothing; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from moods.errors import UnknownKey
from moods.harmony import PITCH_CLASSES, Key, parse_key
from moods.spelling import Spelling

BPM = (40.0, 240.0)
SECONDS = (1.0, 3600.0)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Exact:
    """None: the text names none."""

    bpm: float | None
    key: Key | None
    seconds: float | None
    spans: tuple[Span, ...]  # what was read, and says nothing else
    refused: tuple[str, ...]  # what was read, and cannot be done


def read_exact(text: Spelling) -> Exact:
    """The first tempo, key and length that `text` names."""
    spans: list[Span] = []
    refused: list[str] = []

    def first(found: Iterator[tuple[float, Span]], low: float, high: float) -> float | None:
        for value, span in found:
            if any(start < span[1] and span[0] < end for start, end in spans):
                continue
            spans.append(span)
            if low <= value <= high:
                return value
            refused.append(text.lower[slice(*span)].strip())
        return None

    key = None
    for named, span in _keys(text):
        key = named
        spans.append(span)
        break
    bpm = first(_tempos(text.plain), *BPM)
    seconds = first(_lengths(text.plain), *SECONDS)
    return Exact(bpm, key, seconds, tuple(spans), tuple(refused))


# --- tempo -----------------------------------------------------------------------------------------------------------

_NUMBER = r"(?<![\d.,:])(\d{1,4}(?:[.,]\d{1,2})?)(?:\s*(?:-|–|~|to|到|至)\s*(\d{1,3}))?"
_LABEL = r"(?:\bbpm|\btempo|\btemps|速度|节拍|节奏|每分钟|テンポ|темп|템포|الإيقاع|[♩♪𝅘𝅥])"
_TEMPOS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_LABEL}\s*[:=]\s*{_NUMBER}(?:\s*bpm)?",
        rf"{_NUMBER}[\s-]*(?:bpm\b|b\.p\.m\.?|beats? (?:per|a) min(?:ute)?\b|拍/分钟?|拍每分钟?"
        r"|уд(?:аров|\.)?\s?(?:/|в\s)\s?мин\w*|battements par minute|schlage pro minute|pulsaciones por minuto)",
        rf"{_LABEL}\s*(?:of|is|at|around|about|de|von|为|是|约)?\s*{_NUMBER}(?:\s*(?:bpm|拍))?",
        r"(?<!\d)(\d{2,3})()拍",
    )
)
_TEMPO_TERMS = {
    "adagio": 70, "andante": 90, "moderato": 112, "allegretto": 116, "allegro": 132, "vivace": 160, "presto": 180,
    "慢板": 60, "行板": 90, "中板": 112, "快板": 132, "急板": 180,
}  # fmt: skip
_TEMPO_TERM = re.compile("|".join(rf"\b{term}\b" if term.isascii() else term for term in _TEMPO_TERMS))


def _tempos(text: str) -> Iterator[tuple[float, Span]]:
    for pattern in _TEMPOS:
        for match in pattern.finditer(text):
            low = _number(match[1])
            yield (low + _number(match[2])) / 2 if match[2] else low, match.span()
    for match in _TEMPO_TERM.finditer(text):
        yield float(_TEMPO_TERMS[match[0]]), match.span()


# --- key -------------------------------------------------------------------------------------------------------------

_SIGNS = {
    "#": 1, "♯": 1, "sharp": 1, "diese": 1, "sostenido": 1, "sustenido": 1, "диез": 1, "升": 1, "嬰": 1, "올림": 1,
    "シャープ": 1, "b": -1, "♭": -1, "flat": -1, "bemol": -1, "бемоль": -1, "降": -1, "変": -1, "변": -1, "내림": -1,
    "フラット": -1,
}  # fmt: skip
_SIGN = r"[\s-]?(#|♯|♭|b(?![a-z])|sharp|flat|diese|sostenido|sustenido|bemol|диез|бемоль|シャープ|フラット)?"
_MODES = (
    "harmonic minor|minor pentatonic|major pentatonic|major|minor|maj|min|dorian|phrygian|lydian|mixolydian|locrian"
)
_MAJOR = r"(?:major|maj|majeur|mayor|maior|maggiore|dur|мажор\w*|大调|長調|メジャー|장조|메이저)"
_TONICS = {letter: PITCH_CLASSES.index(letter.upper()) for letter in "abcdefg"} | {
    "do": 0, "ut": 0, "re": 2, "mi": 4, "fa": 5, "sol": 7, "la": 9, "si": 11,
    "до": 0, "ре": 2, "ми": 4, "фа": 5, "соль": 7, "ля": 9, "си": 11,
    "ハ": 0, "ニ": 2, "ホ": 4, "ヘ": 5, "ト": 7, "イ": 9, "ロ": 11,
    "다": 0, "라": 2, "마": 4, "바": 5, "사": 7, "가": 9, "나": 11,
}  # fmt: skip
_GERMAN = {
    "cis": 1, "des": 1, "dis": 3, "es": 3, "fis": 6, "ges": 6, "gis": 8, "as": 8, "ais": 10, "b": 10, "h": 11,
} | {letter: _TONICS[letter] for letter in "acdefg"}  # fmt: skip
_ENDS = r"(?=\s*(?:$|[^\w\s]))"  # "a minor" and "la mayor" mean other things where a noun follows

_KEYS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:\bkey\s*(?:of|:|=|is)?\s*)([a-g]){_SIGN}[\s-]?({_MODES})?\b",
        rf"\b(?:in (?:the )?)?([b-g]){_SIGN}[\s-]?({_MODES})\b",
        rf"\b(?:in )?(a)[\s-]?(#|♯|♭|b|sharp|flat)[\s-]?({_MODES})\b",
        rf"\b(?:in )?(a)()[\s-]?({_MODES})\b{_ENDS}",
        rf"\b(do|ut|re|fa|sol|si){_SIGN} (mineur|majeur|menor|mayor|maior|minore|maggiore)\b",
        rf"\b(?:en|em|in)? ?(la|mi){_SIGN} (mineur|majeur|menor|mayor|maior|minore|maggiore)\b{_ENDS}",
        rf"\b(до|ре|ми|фа|соль|ля|си){_SIGN}[\s-](мажор\w*|минор\w*)",
        rf"([a-g]){_SIGN}\s*(大调|小调|メジャー|マイナー|장조|단조|메이저|마이너)",
    )
)
_SIGN_FIRST = re.compile(
    r"(升|降|嬰|変|올림|내림)\s*([a-gイロハニホヘト다라마바사가나])\s*(大调|小调|長調|短調|장조|단조)"
)
_BARE_FIRST = re.compile(r"()([イロハニホヘト다라마바사가나])(長調|短調|장조|단조)")
_GERMAN_KEY = re.compile(rf"\b(?:in )?({'|'.join(_GERMAN)})[\s-](dur|moll)\b")
_CASED = (
    re.compile(r"\b(?:in |key:? ?)?(?:([B-G])|(A)(?=[#b♯♭]))([#b♯♭]?)(m)\b"),
    re.compile(r"(?:^|\bin |\bkey:? ?)(A)()()(m)" + _ENDS),
    re.compile(r"\bin ([A-G])()([#b♯♭]?)()" + _ENDS),
    re.compile(r"(?<=\w )(?:in )?(A)()() (minor|major)\b"),  # not where a sentence begins
)


def _keys(text: Spelling) -> Iterator[tuple[Key, Span]]:
    for pattern in (_SIGN_FIRST, _BARE_FIRST):
        for match in pattern.finditer(text.plain):
            yield _key(_TONICS[match[2]], match[1], match[3]), match.span()
    for pattern in _KEYS:
        for match in pattern.finditer(text.plain):
            yield _key(_TONICS[match[1]], match[2], match[3]), match.span()
    for match in _GERMAN_KEY.finditer(text.plain):
        yield _key(_GERMAN[match[1]], "", match[2]), match.span()
    for pattern in _CASED:
        for match in pattern.finditer(text.cased):
            tonic = (match[1] or match[2]).lower()
            yield _key(_TONICS[tonic], match[3], match[4] or "major"), match.span()


def _key(tonic: int, sign: str | None, mode: str | None) -> Key:
    name = PITCH_CLASSES[(tonic + _SIGNS.get((sign or "").strip(), 0)) % 12]
    try:
        return parse_key(f"{name} {mode or 'major'}")
    except UnknownKey:  # another language's word
        return parse_key(f"{name} {'major' if re.fullmatch(_MAJOR, mode or '') else 'minor'}")


# --- length ----------------------------------------------------------------------------------------------------------

_WORDS = {
    "half a": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40,
    "forty-five": 45, "forty five": 45, "sixty": 60, "ninety": 90,
}  # fmt: skip
_CHINESE = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "半": 0.5}
_COUNT = (
    r"((?<![\d.,:])\d{1,4}(?:[.,]\d{1,2})?|\b(?:"
    + "|".join(sorted(_WORDS, key=len, reverse=True))
    + r")\b|[一二两三四五六七八九十半]+)"
)
_SECOND = r"(?:s(?:ecs?|econds?)?\b|秒钟?|秒間|초|сек\w*|sekunden?\b|segundos?\b|secondes?\b|secondi\b|ثانية|ثوان)"
_MINUTE = (
    r"(?:min(?:s|utes?|uten?|utos?|uti)?\b|分钟|分間|分(?=\d|半|[一二三四五六七八九十]|$|\s)|분|мин\w*|دقيقة|دقائق)"
)
_MINUTES = re.compile(rf"{_COUNT}[\s-]?{_MINUTE}(半)?(?:\s*(?:and\s)?{_COUNT}[\s-]?{_SECOND})?")
_SECONDS = re.compile(rf"{_COUNT}[\s-]?{_SECOND}")
_CLOCK = re.compile(r"(?<![\d:.])(\d{1,2}):([0-5]\d)(?![\d:])")
_DECADE = re.compile(
    r"(?:['’]\d0|\b(?:19|20)\d0|(?<=\bthe )\d0|\b[5789]0|\b00)['’]?s\b(?!\s*(?:clip|hook|spot|ad|video|loop|long))"
    r"|\b\d0['’]s\b"
)


def _lengths(text: str) -> Iterator[tuple[float, Span]]:
    decades = [match.span() for match in _DECADE.finditer(text)]
    for match in _MINUTES.finditer(text):
        seconds = 60 * _number(match[1]) + (30 if match[2] else 0) + (_number(match[3]) if match[3] else 0)
        yield seconds, match.span()
    for match in _SECONDS.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in decades):
            yield _number(match[1]), match.span()
    for match in _CLOCK.finditer(text):
        yield 60.0 * int(match[1]) + int(match[2]), match.span()


def _number(text: str) -> float:
    """A number in digits, an English word or Chinese numerals."""
    if text[0].isdecimal():
        return float(text.replace(",", "."))
    if text in _WORDS:
        return float(_WORDS[text])
    tens, ten, ones = text.partition("十")
    if not ten:
        return float(sum(_CHINESE.get(digit, 0) for digit in text))
    return 10 * (_CHINESE.get(tens, 1) if tens else 1) + (_CHINESE.get(ones, 0) if ones else 0)
