"""`python -m engine.training.prompts.fit`: learn which moods and styles a sentence means.

In: `phrases.tsv` without its held-out third, `vocabulary.txt`, `scenes.txt`, `descriptions.txt`, `styles.txt`, and the
names and words of the presets; out: `moods/presets/sentences.json`, one logistic regression for moods (and for saying
nothing of music) over the encoder's 512 numbers and the pieces of text that occur more than once, and one for styles
over the 512, in eight bits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from moods.intent import STYLES
from moods.mood import find_mood, list_moods, read_preset, styles
from moods.sentence import NOTHING, encode, pieces

FOLDER = Path(__file__).parent
OUT = FOLDER.parents[2] / "moods" / "presets" / "sentences.json"
MOOD_NAMES = [*(mood.name for mood in list_moods()), NOTHING]
STYLE_NAMES = [*STYLES, NOTHING]
SOURCES = ("phrases.tsv", "fresh.tsv", "vocabulary.txt", "scenes.txt", "descriptions.txt", "styles.txt")
INVERSE_PENALTY = 8.0
STEPS = 80
ENCODED = 512
"""Numbers of the encoder."""
SAME = 0.8
"""Cosine from which two texts say the same: what is shipped has not learnt what it is tested by."""
TOO_NEAR = 0.62
"""Cosine from which two texts are of one subject: a test of subjects that were not learnt."""
SHORT = 0.5
"""Weight of a word or two beside a sentence."""
SHORT_LETTERS = 12
FIRST = 1.4
"""Weight of a phrase's first label beside each further one."""


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


@dataclass(frozen=True)
class Example:
    """A text to learn from; `labels` of moods or of styles, the plainest first."""

    text: str
    labels: tuple[str, ...]
    weight: float = 1.0


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


def _fitted(examples: list[Example], names: list[str], least: int | None = None) -> dict[str, Any]:
    """A regression; pieces of text that stand in `least` examples weigh, too (None: the encoder's numbers alone)."""
    texts = [example.text for example in examples]
    found = [pieces(text) for text in texts]
    counts = Counter(piece for each in found for piece in each)
    known = sorted(piece for piece, count in counts.items() if least is not None and count >= least)
    place = {piece: i for i, piece in enumerate(known)}
    stands = [(i, place[piece], 1 / math.sqrt(len(each))) for i, each in enumerate(found) for piece in each
              if piece in place]  # fmt: skip
    rows, columns, values = zip(*stands, strict=True) if stands else ((), (), ())
    words = torch.sparse_coo_tensor(
        torch.tensor([rows, columns], dtype=torch.long),
        torch.tensor(values),
        (len(texts), len(known)),
        check_invariants=True,
    )
    targets = np.zeros((len(texts), len(names)), dtype=np.float32)
    for row, example in zip(targets, examples, strict=True):
        for i, label in enumerate(example.labels):
            row[names.index(label)] += FIRST if i == 0 else 1.0
        row *= example.weight / row.sum()
    assert targets.sum(axis=0).all(), "every name has examples"
    weights, bias = _regressed(encode(texts), words, targets)
    out = {"names": names, "bias": [round(float(value), 3) for value in bias], "pieces": " ".join(known)}
    return out | _in_eight_bits("weights", weights[:ENCODED]) | _in_eight_bits("piece_weights", weights[ENCODED:])


def _regressed(vectors: np.ndarray, words: torch.Tensor, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [inputs, names] and biases of the logistic regression to `targets`, each a weight spread over names."""
    torch.set_num_threads(1)  # more wait for each other where a machine is busy
    x, y = torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(targets)
    weights = torch.zeros(ENCODED + words.shape[1], y.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    steps = torch.optim.LBFGS([weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        logits = x @ weights[:ENCODED] + torch.sparse.mm(words, weights[ENCODED:]) + bias
        value = -(y * torch.log_softmax(logits, 1)).sum() + weights.square().sum() / (2 * INVERSE_PENALTY)
        value.backward()
        return value

    steps.step(loss)
    return weights.detach().numpy(), bias.detach().numpy()


def _in_eight_bits(field: str, weights: np.ndarray) -> dict[str, Any]:
    scales = np.abs(weights).max(axis=0, initial=0.0) / 127 if len(weights) else np.ones(weights.shape[1])
    steps = np.round(weights / scales).astype(np.int8)
    return {
        field: base64.b64encode(steps.tobytes()).decode(),
        f"{field}_scale": [float(f"{value:.4g}") for value in scales],
    }


def fit(too_near: float = SAME) -> dict[str, Any]:
    """What `sentences.json` holds. Nothing is learnt that is `too_near` to a phrase to test by."""
    phrases = read_phrases()
    tests = [phrase.text for phrase in phrases if phrase.is_held_out] + [phrase.text for phrase in read_fresh()]
    learnt = [phrase for phrase in phrases if not phrase.is_held_out]
    of_moods = [Example(p.text, p.moods) for p in learnt] + [Example(t, (NOTHING,), SHORT) for t in _nonsense()]
    of_moods += [Example(text, (name,), SHORT) for text, name in _lists("vocabulary.txt", ",")]
    of_moods += [Example(text, (name,)) for text, name in _lists("scenes.txt", ";")]
    of_moods += [
        Example(text, (name,), SHORT if len(text) < SHORT_LETTERS else 1.0)
        for text, name in _lists("descriptions.txt", ";")
    ]
    of_moods += [Example(text, (mood,), SHORT) for text, mood, _ in _words() if mood]
    of_styles = [Example(p.text, p.styles or (NOTHING,)) for p in learnt]
    of_styles += [Example(text, (NOTHING,), SHORT) for text in _nonsense()]
    of_styles += [Example(text, (name,)) for text, name in _lists("styles.txt", ",")]
    of_styles += [Example(text, (style,), SHORT) for text, _, style in _words() if style]
    return {
        "learnt_from": hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in SOURCES)).hexdigest(),
        "moods": _fitted(_apart(of_moods, tests, too_near), MOOD_NAMES, least=2),
        "styles": _fitted(_apart(of_styles, tests, too_near), STYLE_NAMES),
    }


def _apart(examples: list[Example], tests: list[str], too_near: float) -> list[Example]:
    """Each example once, without those that would give away what is tested."""
    examples = list(dict.fromkeys(examples))
    likeness = (encode([example.text for example in examples]) @ encode(tests).T).max(axis=1)
    kept = [each for each, near in zip(examples, likeness, strict=True) if near < too_near]
    print(f"{len(kept)} examples; {len(examples) - len(kept)} left out, too near to the {len(tests)} to test by")
    return kept


if __name__ == "__main__":
    OUT.write_text(json.dumps(fit(), indent=0) + "\n", encoding="utf-8")
