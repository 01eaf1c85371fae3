"""Names that a listener may have meant. In: what was typed and the names there are; out: those near it.

Remembers nothing; any thread.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

_MAX_TYPED = 64
_ALIKE, _ALIKE_CHINESE = 0.66, 0.5
"""Share of letters in common from which a name is near: one slip in a short word, two in a longer one; one Chinese
character of two."""


def nearest(typed: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names that were begun, run together with more or misspelt, likeliest first; none where nothing is near.

    Case and width are ignored.
    """
    wanted = _plain(typed)[:_MAX_TYPED]
    scores = {name: _likeness(wanted, _plain(name)) for name in names} if wanted else {}
    near = [name for name, score in scores.items() if score]
    return sorted(near, key=lambda name: -scores[name])[:count]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _likeness(wanted: str, name: str) -> float:
    """0 where they are not near, otherwise up to 1."""
    is_chinese = name >= "\u2e80"
    if wanted == name:
        return 1.0
    if name.startswith(wanted) and (is_chinese or len(wanted) > 1):
        return 0.9 + 0.1 * len(wanted) / len(name)
    if wanted.startswith(name) and (is_chinese or len(name) > 2):
        return 0.8 + 0.1 * len(name) / len(wanted)
    alike = SequenceMatcher(None, wanted, name).ratio()
    return alike if alike >= (_ALIKE_CHINESE if is_chinese else _ALIKE) else 0.0
