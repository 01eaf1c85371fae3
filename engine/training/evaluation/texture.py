"""How a tune moves and what it stands among: registers, rests, roots, bass, velocities. In: pieces; out: numbers.

Of the lead the highest note of each onset counts. NaN says that there is nothing to measure. Remembers nothing; any
thread.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.training.evaluation.recurrence import Lead, lead_of
from engine.training.figures import BASS, DRUMS
from engine.training.labels import BAR_TICKS, find_chords
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

FEWEST_NOTES = 8
TENOR, HIGH = (52, 60), (72, 84)
"""MIDI notes from … to."""
PHRASE_REST_BEATS, PHRASE_STEP_BEATS = 1, 2
"""A rest of so long ends a phrase, or so long from one note to the next."""
_STEP_SEMITONES = 2
_FIFTHS, _THIRDS = (5, 7), (3, 4, 8, 9)
_DOMINANT = 7


def _mean_percent(hits: npt.NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean()) if len(hits) else float("nan")


# --- the lead --------------------------------------------------------------------------------------------------------


def _long_enough(piece: Piece) -> Lead | None:
    lead = lead_of(piece)
    return lead if len(lead.ticks) >= FEWEST_NOTES else None


def lead_pitch(piece: Piece) -> float:
    """Median MIDI note of the lead."""
    lead = _long_enough(piece)
    return float(np.median(lead.pitches)) if lead else float("nan")


def on_top_note(piece: Piece) -> float:
    """Notes of the lead on the highest that it has in the whole piece, in %."""
    lead = _long_enough(piece)
    return _mean_percent(lead.pitches == lead.pitches.max()) if lead else float("nan")


def lead_range(piece: Piece) -> float:
    """Semitones between the lowest and the highest twentieth of the lead's notes."""
    lead = _long_enough(piece)
    return float(np.ptp(np.percentile(lead.pitches, (5, 95)))) if lead else float("nan")


def _intervals(lead: Lead) -> npt.NDArray[np.int64]:
    """Between notes with less than a bar from one to the next."""
    return np.diff(lead.pitches)[np.diff(lead.ticks) < BAR_TICKS]


def stepwise(piece: Piece) -> float:
    """Intervals of the lead of one or two semitones, in %."""
    lead = _long_enough(piece)
    if lead is None:
        return float("nan")
    sizes = np.abs(_intervals(lead))
    return _mean_percent((sizes > 0) & (sizes <= _STEP_SEMITONES))


def repeated(piece: Piece) -> float:
    """Intervals of the lead of none, in %."""
    lead = _long_enough(piece)
    return _mean_percent(_intervals(lead) == 0) if lead else float("nan")


def rests(piece: Piece) -> float:
    """Time in which the lead is silent, in % of the bars in which it sounds."""
    lead = _long_enough(piece)
    if lead is None:
        return float("nan")
    sounding = np.zeros(len(piece.bars) * BAR_TICKS, bool)
    for tick, end in zip(lead.ticks.tolist(), lead.ends.tolist(), strict=True):
        sounding[tick:end] = True
    bars = sounding.reshape(-1, BAR_TICKS)
    return _mean_percent(~bars[bars.any(axis=1)].ravel())


def _phrases(lead: Lead) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the first and the last note of every phrase, each [P]."""
    rest, step = lead.ticks[1:] - lead.ends[:-1], np.diff(lead.ticks)
    breaks = np.flatnonzero((rest >= PHRASE_REST_BEATS * TICKS_PER_BEAT) | (step >= PHRASE_STEP_BEATS * TICKS_PER_BEAT))
    return np.append(0, breaks + 1), np.append(breaks, len(lead.ticks) - 1)


def phrase_beats(piece: Piece) -> float:
    """Mean length of a phrase of the lead, in beats."""
    lead = _long_enough(piece)
    if lead is None:
        return float("nan")
    first, last = _phrases(lead)
    return float(np.mean(lead.ends[last] - lead.ticks[first])) / TICKS_PER_BEAT


def phrase_notes(piece: Piece) -> float:
    """Mean count of notes in a phrase of the lead."""
    lead = _long_enough(piece)
    if lead is None:
        return float("nan")
    first, last = _phrases(lead)
    return float(np.mean(last - first + 1))


# --- what it stands among --------------------------------------------------------------------------------------------


def _sounding_share(piece: Piece, low: int, high: int) -> float:
    """Sounding time of pitched notes at `low` … `high`, in % of all their time."""
    pitched = piece.notes[piece.notes["layer"] != DRUMS]
    if not len(pitched):
        return float("nan")
    inside = (pitched["pitch"] >= low) & (pitched["pitch"] <= high)
    return 100 * float(pitched["length"][inside].sum() / pitched["length"].sum())


def tenor_share(piece: Piece) -> float:
    """Sounding time of pitched notes in the tenor, in %."""
    return _sounding_share(piece, *TENOR)


def high_share(piece: Piece) -> float:
    """Sounding time of pitched notes an octave above middle C and higher, in %."""
    return _sounding_share(piece, *HIGH)


def _root_changes(piece: Piece) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tick and root of every chord whose root is another than that before, by the same reader for whoever wrote it."""
    chords = find_chords(piece.notes, len(piece.bars))
    if not len(chords):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    is_new = np.append(True, np.diff(chords["root"]) != 0)
    return chords["tick"][is_new].astype(np.int64), chords["root"][is_new].astype(np.int64)


def _root_motion(piece: Piece, intervals: tuple[int, ...]) -> float:
    _, roots = _root_changes(piece)
    return _mean_percent(np.isin(np.diff(roots) % 12, intervals))


def by_fifth(piece: Piece) -> float:
    """Changes of root by a fourth or fifth, in % of all."""
    return _root_motion(piece, _FIFTHS)


def by_third(piece: Piece) -> float:
    """Changes of root by a third or sixth, in % of all."""
    return _root_motion(piece, _THIRDS)


def dominant_entries(piece: Piece) -> float:
    """Four-bar phrases that begin on the tonic after its dominant, in % of all but the first."""
    ticks, roots = _root_changes(piece)
    phrase_ticks = BARS_PER_PHRASE * BAR_TICKS
    found = []
    for start in range(phrase_ticks, len(piece.bars) * BAR_TICKS, phrase_ticks):
        index = int(np.searchsorted(ticks, start, side="right")) - 1
        enters = index > 0 and ticks[index] == start
        found.append(
            enters and roots[index] == piece.key.tonic and (roots[index - 1] - piece.key.tonic) % 12 == _DOMINANT
        )
    return _mean_percent(np.array(found, bool))


def bass_notes_a_bar(piece: Piece) -> float:
    """Notes of the bass in a bar in which it begins some."""
    bass = piece.notes[piece.notes["layer"] == BASS]
    return len(bass) / len(np.unique(bass["tick"] // BAR_TICKS)) if len(bass) else float("nan")


def velocity_spread(piece: Piece) -> float:
    """Standard deviation of the velocity of all notes."""
    return float(piece.notes["velocity"].std()) if len(piece.notes) else float("nan")


def _bar_means(values: npt.NDArray[np.float64], bars: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    counts = np.bincount(bars)
    return (np.bincount(bars, values) / np.maximum(1, counts))[counts > 0]


def bar_velocity_spread(piece: Piece) -> float:
    """Standard deviation of the bars' mean velocities."""
    if not len(piece.notes):
        return float("nan")
    return float(_bar_means(piece.notes["velocity"].astype(float), piece.notes["tick"] // BAR_TICKS).std())


def minutes_apart(piece: Piece) -> float:
    """Notes a second of the whole minutes: half of the span from the fewest to the most, in % of the mean.

    NaN: there are fewer than three minutes.
    """
    ticks_a_minute = piece.bpm * TICKS_PER_BEAT
    num_minutes = int(len(piece.bars) * BAR_TICKS // ticks_a_minute)
    if num_minutes < 3:
        return float("nan")
    minute = (piece.notes["tick"] // ticks_a_minute).astype(np.int64)
    counts = np.bincount(minute[minute < num_minutes], minlength=num_minutes)
    return 50 * float(np.ptp(counts) / counts.mean()) if counts.any() else float("nan")


def lead_begins_s(piece: Piece) -> float:
    """Seconds until the lead's first note; the whole piece where there is none."""
    lead = lead_of(piece)
    beats = lead.ticks[0] / TICKS_PER_BEAT if len(lead.ticks) else len(piece.bars) * BEATS_PER_BAR
    return float(beats * 60 / piece.bpm)


def lead_bars(piece: Piece) -> float:
    """Bars in which the lead begins a note, in %."""
    return 100 * len(np.unique(lead_of(piece).bars)) / len(piece.bars)
