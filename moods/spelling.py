"""Spellings of the same text. In: what was typed; out: it as it is compared. Remembers a converter; any thread."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

HAN = "\u3400-\u9fff々〇"
KANA = "\u3040-\u30ff"


@dataclass(frozen=True, slots=True)
class Spelling:
    """One text three times; a place in one is the same place in the others."""

    cased: str  # characters as they are, wide and composed ones made plain; Chinese is simplified
    lower: str
    plain: str  # lower, Latin letters and Arabic ones without their marks

    def without(self, spans: Iterable[tuple[int, int]]) -> Spelling:
        """The same with blanks in place of `spans`."""
        parts = [self.cased, self.lower, self.plain]
        for start, end in spans:
            parts = [part[:start] + " " * (end - start) + part[end:] for part in parts]
        return Spelling(*parts)


def spelled(text: str) -> Spelling:
    """`text` in full and half width, upper and lower case, with accents and without, Traditional Chinese or not."""
    cased = unicodedata.normalize("NFKC", text)
    if re.search(f"[{HAN}]", cased) and not re.search(f"[{KANA}]", cased):
        cased = _simplifier().convert(cased)
    cased = "".join(letter for letter in cased if not _is_loose(letter))
    lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in cased)
    return Spelling(cased, lower, "".join(map(_bare, lower)))


def bare(word: str) -> str:
    """One word as it stands in `Spelling.plain`."""
    return spelled(word).plain


def _is_loose(letter: str) -> bool:
    """A mark, joiner or skin tone that no letter holds, and what Arabic may leave out."""
    return unicodedata.category(letter) in ("Mn", "Me", "Cf", "Sk") and letter not in "`^" or letter == "ـ"


@cache
def _bare(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() or "\u0600" <= base <= "\u06ff" else letter


@cache
def _simplifier() -> opencc.OpenCC:  # type: ignore[name-defined]  # noqa: F821
    import opencc  # most prompts need none

    return opencc.OpenCC("t2s")
