"""What chat may ask for: moods of a list, and words that a filter lets pass. In: plain texts; out: names, or why not.

Remembers the list and the filter; any thread.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from moods.errors import shown
from moods.mood import find_mood, list_moods
from moods.names import nearest
from streaming.chat.commands import plain
from streaming.chat.replies import Saying
from streaming.errors import BadConfig

_MAX_FILTER_BYTES = 256 * 1024
_WORD = re.compile("[a-z0-9_]+")
_SPACED = re.compile(r"(?:(?<![a-z0-9_])[a-z0-9_]\W+){2,}[a-z0-9_](?![a-z0-9_])")
"""Letters with something between them: one word, dressed up."""


class Allowed:
    """The moods that may be asked for by name, and what free text may hold."""

    def __init__(self, moods: Iterable[str], words: Iterable[str], max_characters: int) -> None:
        """Without moods all presets are allowed."""
        chosen = [find_mood(name) for name in moods] or list_moods()
        self.moods = tuple(dict.fromkeys(mood.name for mood in chosen))
        self._by_name = {name.casefold(): mood.name for mood in reversed(chosen) for name in mood.names}
        self.max_characters = max_characters
        folded = [read for word in words if (read := _folded(word))]
        self._words = frozenset(word for word in folded if _WORD.fullmatch(word))
        self._parts = [word for word in folded if word not in self._words]
        """Several words, and those of writing that has no gaps between them: they count wherever they stand."""

    def mood(self, text: str) -> str | None:
        """The allowed mood of that name, in English or Chinese; None where there is none."""
        return self._by_name.get(text.casefold())

    def near(self, text: str) -> list[str]:
        """Allowed moods that may have been meant."""
        return nearest(text[:64], self.moods, 2)

    def why_not(self, text: str) -> Saying | None:
        """Why a free text is not even to be shown to the streamer; None where it is."""
        if len(text) > self.max_characters:
            return Saying("too_long", count=len(text), limit=self.max_characters)
        if not any(unicodedata.category(character)[0] in "LN" for character in text):
            return Saying("no_words")
        return Saying("filtered") if self._is_filtered(_folded(text)) else None

    def _is_filtered(self, folded: str) -> bool:
        words = {*_WORD.findall(folded), *(re.sub(r"\W", "", spaced) for spaced in _SPACED.findall(folded))}
        return not self._words.isdisjoint(words) or any(part in folded for part in self._parts)


def _folded(text: str) -> str:
    """Without case, accents and what joins letters, so that a word cannot be dressed up."""
    letters = unicodedata.normalize("NFKD", plain(text).casefold())
    return "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Me", "Cf")).strip()


def read_words(file: str) -> list[str]:
    """The words of a filter, one a line; what follows # is a remark. Raises `BadConfig`."""
    if not file:
        return []
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(_MAX_FILTER_BYTES + 1)
        if len(text) > _MAX_FILTER_BYTES:
            raise BadConfig(f"chat.filter is {shown(file)}, of more than {_MAX_FILTER_BYTES} bytes", field="chat")
        lines = text.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"chat.filter is {shown(file)}, which cannot be read: {error}", field="chat") from error
    return [word for line in lines if (word := line.partition("#")[0].strip())]
