"""`python -m engine.training.prompts.fit`: learn which moods and styles a sentence means.

In: `phrases.tsv` without its held-out third, `vocabulary.txt`, `scenes.txt`, `styles.txt`, and the names and words of
the presets; out: `moods/presets/sentences.json`, one logistic regression for moods (and for saying nothing of music)
and one for styles, over the encoder's 512 numbers, in eight bits.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from moods.intent import STYLES
from moods.mood import find_mood, list_moods, read_preset, styles
from moods.sentence import NOTHING, encode

FOLDER = Path(__file__).parent
OUT = FOLDER.parents[2] / "moods" / "presets" / "sentences.json"
MOOD_NAMES = [*(mood.name for mood in list_moods()), NOTHING]
STYLE_NAMES = [*STYLES, NOTHING]
SOURCES = ("phrases.tsv", "vocabulary.txt", "scenes.txt", "styles.txt")
INVERSE_PENALTY = 8.0
TOO_NEAR = 0.62
"""Cosine from which what is learnt would give away what is held out."""
SHORT = 0.5
"""Weight of a word or two beside a sentence."""


@dataclass(frozen=True)
class Phrase:
    """A phrase and what it may be taken to mean."""

    language: str
    text: str
    moods: tuple[str, ...]  # `NOTHING` alone: it says nothing of music
    styles: tuple[str, ...]
    kin: str  # of phrases that say nearly the same

    @property
    def is_held_out(self) -> bool:
        return bytes.fromhex(self.kin)[0] % 3 == 0


def read_phrases() -> list[Phrase]:
    """The labelled phrases that are learnt from, but for the third held out."""
    return [Phrase(*row, kin) for *row, kin in _rows("phrases.tsv")]


def read_fresh() -> list[Phrase]:
    """Those of a second author, of which nothing is learnt."""
    return [Phrase(*row, kin="00") for row in _rows("fresh.tsv")]


def _rows(name: str) -> Iterator[tuple[Any, ...]]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            language, text, moods, styles, *kin = line.split("\t")
            yield (language, text, tuple(moods.split()), tuple(styles.split()), *kin)


def _lists(name: str, separator: str) -> Iterator[tuple[str, str]]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        label, _, texts = line.partition("|")
        yield from ((text.strip(), label.strip()) for text in texts.split(separator) if text.strip())


def _words() -> Iterator[tuple[str, str, str]]:
    """Of the presets: a word, its mood and its style."""
    for row in read_preset("lexicon.toml")["words"]:
        for term in row["terms"]:
            if ("mood" in row or "style" in row) and any(letter.isalpha() for letter in term):
                yield term, find_mood(row["mood"]).name if "mood" in row else "", row.get("style", "")
    for mood in list_moods():
        yield from ((name, mood.name, "") for name in mood.names)
    for style in styles():
        yield from ((name, "", style.name) for name in (style.name, style.name_zh))


_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz", "йцукенгшщзфывапролджэ", "ㅁㄴㅇㄹㅎㅋ")
_STARTS = [
    "b",
    "bl",
    "br",
    "d",
    "f",
    "fl",
    "g",
    "gr",
    "k",
    "kl",
    "m",
    "n",
    "p",
    "qu",
    "r",
    "sn",
    "t",
    "v",
    "w",
    "x",
    "z",
]
_ENDS = ["", *["b", "g", "k", "mp", "nt", "ph", "rk", "sk", "t", "x", "zz", "xxo", "le"]]


def _nonsense(count: int = 700) -> Iterator[str]:
    """Letters without a word in them: keys hit at random, syllables that are no word, numbers and signs."""
    rng = Random(1)

    def word(kind: float, keys: str) -> str:
        if kind < 0.4:
            return "".join(rng.choices(keys, k=rng.randint(3, 8)))
        if kind < 0.85:
            syllables = (rng.choice(_STARTS) + rng.choice("aeiouy") for _ in range(rng.randint(1, 2)))
            return "".join(syllables) + rng.choice(_ENDS)
        return f"{rng.choice('abcxyz_')}{rng.choice('=:/.-(')}{rng.randint(0, 9999)}"

    for _ in range(count):
        kind, keys = rng.random(), rng.choice(_KEYS)
        yield " ".join(word(kind, keys) for _ in range(rng.randint(1, 3)))


def _fitted(points: np.ndarray, labels: Sequence[Sequence[str]], weights: np.ndarray, names: list[str]) -> dict:
    """A regression over soft labels: a phrase with several counts for each in part."""
    rows = [(i, names.index(name), weights[i] / len(each)) for i, each in enumerate(labels) for name in each]
    index, target, weight = (np.array(column) for column in zip(*rows, strict=True))
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=400).fit(points[index], target, sample_weight=weight)
    assert list(model.classes_) == list(range(len(names))), "every name has examples"
    scales = np.abs(model.coef_).max(axis=1) / 127
    steps = np.round(model.coef_ / scales[:, None]).astype(np.int8)
    return {
        "names": names,
        "bias": [round(float(value), 3) for value in model.intercept_],
        "scale": [float(f"{value:.4g}") for value in scales],
        "weights": base64.b64encode(steps.tobytes()).decode(),
    }


def fit() -> dict:
    """What `sentences.json` holds."""
    phrases = read_phrases()
    held_out = [phrase for phrase in phrases if phrase.is_held_out]
    examples = [(p.text, p.moods, p.styles or (NOTHING,), 1.0) for p in phrases if not p.is_held_out]
    further = [(text, (name,), (), SHORT) for text, name in _lists("vocabulary.txt", ",")]
    further += [(text, (name,), (), 1.0) for text, name in _lists("scenes.txt", ";")]
    further += [(text, (NOTHING,), (), SHORT) for text in _nonsense()]
    further += [(text, (), (name,), 1.0) for text, name in _lists("styles.txt", ",")]
    further += [(text, (mood,) * bool(mood), (style,) * bool(style), SHORT) for text, mood, style in _words()]
    near = (encode([text for text, *_ in further]) @ encode([phrase.text for phrase in held_out]).T).max(axis=1)
    texts = {phrase.text for phrase in held_out}
    examples += [
        each for each, likeness in zip(further, near, strict=True) if likeness < TOO_NEAR and each[0] not in texts
    ]
    points, weights = encode([text for text, *_ in examples]), np.array([each[3] for each in examples])
    has_mood = np.array([bool(each[1]) for each in examples])
    has_style = np.array([bool(each[2]) or each[1] == (NOTHING,) for each in examples])
    print(f"{len(examples)} examples; {sum(near >= TOO_NEAR)} left out, too near to the {len(held_out)} held out")
    chosen = [(each[1], each[2] or (NOTHING,)) for each in examples]
    moods = [mood for (mood, _), is_one in zip(chosen, has_mood, strict=True) if is_one]
    named = [style for (_, style), is_one in zip(chosen, has_style, strict=True) if is_one]
    sources = b"".join(
        (FOLDER / name).read_bytes() for name in ("phrases.tsv", "vocabulary.txt", "scenes.txt", "styles.txt")
    )
    return {
        "learnt_from": hashlib.sha256(sources).hexdigest(),
        "moods": _fitted(points[has_mood], moods, weights[has_mood], MOOD_NAMES),
        "styles": _fitted(points[has_style], named, weights[has_style], STYLE_NAMES),
    }


if __name__ == "__main__":
    OUT.write_text(json.dumps(fit(), indent=0) + "\n", encoding="utf-8")
