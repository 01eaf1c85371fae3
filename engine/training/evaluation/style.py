"""Which style is this? A listener trained on others' music. In: pieces; out: styles. Needs scikit-learn.

What it hears is notes alone: no label, no tempo, no sound. Trained on pieces of the arranger that are in nobody's
training and on held-out real ones; it judges in parts of eight bars and answers for a piece by their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.score.vocabulary import NUM_QUALITIES
from engine.training.evaluation.takes import strongest_style
from engine.training.figures import BASS, DRUMS, LEAD, chords_of_beats, excerpt, melody
from engine.training.labels import BAR_TICKS
from moods.intent import LAYERS, STYLES

PART_BARS = 8
_CLEAR_STYLE = 0.6
"""Weight from which a real piece is taken as an example of its strongest style."""
_REAL_WEIGHT = 0.3
_DRUM_GROUPS = ((36,), (38, 37, 39), (42, 44), (46,), (49, 51, 53), (45, 47, 50), (54, 70, 56, 64, 63))

Float = npt.NDArray[np.float64]


def _rhythm(notes: npt.NDArray[np.void], num_bars: int) -> Float:
    """Onsets a bar at each sixteenth: [16]."""
    return np.bincount(notes["tick"] % BAR_TICKS * 16 // BAR_TICKS, minlength=16) / num_bars


def _layer_features(notes: npt.NDArray[np.void], num_bars: int) -> Float:
    """Notes a bar, share of bars played, register, its spread, lengths, touch, voices: [9]."""
    if not len(notes):
        return np.zeros(9)
    lengths = np.log2(notes["length"] / TICKS_PER_BEAT)
    onsets = len(np.unique(notes["tick"]))
    bars = len(np.unique(notes["tick"] // BAR_TICKS))
    touch = (notes["velocity"].mean(), notes["velocity"].std())
    shape = (notes["pitch"].mean(), notes["pitch"].std(), lengths.mean(), lengths.std())
    return np.array([len(notes) / num_bars, bars / num_bars, *shape, *touch, len(notes) / onsets])


def _melody_features(piece: Piece) -> Float:
    """Shares of intervals, in semitones up to an octave, of the top lead line: [13]; and of turns: [1]."""
    intervals = np.diff(melody(piece))
    if len(intervals) < 2:
        return np.zeros(14)
    turns = float((np.sign(intervals[1:]) != np.sign(intervals[:-1])).mean())
    return np.append(np.bincount(np.minimum(np.abs(intervals), 12), minlength=13) / len(intervals), turns)


def features(piece: Piece) -> Float:
    """What is heard in a part, whatever its key and tempo: [N]."""
    num_bars, notes = len(piece.bars), piece.notes
    drums, bass = notes[notes["layer"] == DRUMS], notes[notes["layer"] == BASS]
    pitched = notes[notes["layer"] != DRUMS]
    roots, qualities = chords_of_beats(piece)
    chords = np.bincount(qualities[roots >= 0], minlength=NUM_QUALITIES) / max(1, (roots >= 0).sum())
    changes = (np.diff(roots) != 0).sum() / num_bars
    steps = np.bincount((bass["pitch"] - piece.key.tonic) % 12, minlength=12) / max(1, len(bass))
    scale = np.bincount((pitched["pitch"] - piece.key.tonic) % 12, weights=pitched["length"], minlength=12)
    in_beat = np.bincount(notes["tick"] % TICKS_PER_BEAT, minlength=TICKS_PER_BEAT) / max(1, len(notes))
    return np.concatenate(
        [
            *(_rhythm(drums[np.isin(drums["pitch"], group)], num_bars) for group in _DRUM_GROUPS),
            *(_rhythm(notes[notes["layer"] == layer], num_bars) for layer in range(BASS, LEAD + 1)),
            *(_layer_features(notes[notes["layer"] == layer], num_bars) for layer in range(len(LAYERS))),
            _melody_features(piece), chords, [changes], steps, scale / max(1, scale.sum()), in_beat,
        ]
    )  # fmt: skip


def _parts(piece: Piece) -> list[Piece]:
    """Eight bars each, without intro and what is left at the end, unless the piece is as short as that."""
    starts = range(PART_BARS // 2, len(piece.bars) - PART_BARS + 1, PART_BARS)
    return [excerpt(piece, first, first + PART_BARS) for first in starts] or [piece]


class StyleListener:
    """Tells the styles of `moods.intent.STYLES` apart."""

    def __init__(self, arranged: dict[str, Sequence[Piece]], real: Sequence[Piece]) -> None:
        """`arranged` by style; of `real` only what clearly is of one style is learnt, and counts less."""
        clear = [piece for piece in real if piece.bars[0].style.max() >= _CLEAR_STYLE]
        examples = [(STYLES.index(style), piece, 1.0) for style, pieces in arranged.items() for piece in pieces]
        examples += [(STYLES.index(strongest_style(piece)), piece, _REAL_WEIGHT) for piece in clear]
        rows = [(features(part), style, weight) for style, piece, weight in examples for part in _parts(piece)]
        heard, styles, weights = (np.array(column) for column in zip(*rows, strict=True))
        self._trees = ExtraTreesClassifier(300, min_samples_leaf=2, random_state=0, n_jobs=1)
        self._trees.fit(heard, styles, weights)

    def style_of(self, piece: Piece) -> str:
        """The likeliest style of the whole piece."""
        chances = self._trees.predict_proba(np.array([features(part) for part in _parts(piece)])).mean(axis=0)
        return STYLES[int(self._trees.classes_[chances.argmax()])]


def confusion(answers: dict[str, Sequence[str]]) -> Float:
    """Share of the takes asked in each style (row) that were heard as each (column): [13, 13]; NaN: none asked."""
    counts = np.zeros((len(STYLES), len(STYLES)))
    for style, heard in answers.items():
        for name in heard:
            counts[STYLES.index(style), STYLES.index(name)] += 1
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
