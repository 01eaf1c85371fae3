"""Figures find in hand-made pieces what was put there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.score.piece import Piece
from engine.training.figures import (
    BASS,
    DRUMS,
    HARMONY,
    LEAD,
    Obedience,
    bass_on_root,
    bootstrap,
    chord_changes,
    distance,
    ends_on_tonic,
    excerpt,
    groove_steadiness,
    harmony_in_chord,
    harmony_motion,
    heard_before,
    lead_presence,
    longest_run,
    melodic_novelty,
    notes_in_scale,
    notes_per_beat,
    obedience,
    tonic_share,
)
from engine.training.labels import BAR_TICKS
from moods.harmony import Key
from tests.training.pieces import a_piece


def test_only_calm_bars_owe_the_scale_their_notes() -> None:
    notes = [(0, HARMONY, 60), (24, HARMONY, 61), (48, DRUMS, 37), (BAR_TICKS, LEAD, 64), (BAR_TICKS, LEAD, 67)]
    assert notes_in_scale(a_piece(notes)) == pytest.approx(75)
    assert math.isnan(notes_in_scale(a_piece(notes, tension=0.9)))


def test_bass_and_harmony_are_held_against_the_chord_that_sounds() -> None:
    chords = [(0, 0), (BAR_TICKS, 7)]
    notes = [(0, BASS, 36), (BAR_TICKS + 12, BASS, 36), (0, HARMONY, 64), (BAR_TICKS, HARMONY, 60)]
    piece = a_piece(notes, chords=chords)
    assert bass_on_root(piece) == 50
    assert harmony_in_chord(piece) == 50
    assert harmony_motion(piece) == 4
    assert chord_changes(piece) == pytest.approx(1 / 8)
    assert tonic_share(piece) == pytest.approx(100 / 8)


def test_repetition_is_found() -> None:
    bar = [(0, BASS, 36), (48, BASS, 43)]
    same = a_piece([(tick + index * BAR_TICKS, layer, pitch) for index in range(8) for tick, layer, pitch in bar])
    moving = a_piece(
        [(tick + index * BAR_TICKS, layer, pitch + index) for index in range(8) for tick, layer, pitch in bar]
    )
    assert (longest_run(same), heard_before(same)) == (8, 100)
    assert (longest_run(moving), heard_before(moving)) == (1, 0)


def test_a_groove_is_steady_bar_by_bar() -> None:
    kicks = [(index * BAR_TICKS, DRUMS, 36) for index in range(8)]
    fills = [(index * BAR_TICKS + 48, DRUMS, 38) for index in range(0, 8, 2)]
    assert groove_steadiness(a_piece(kicks)) == 100
    assert groove_steadiness(a_piece(kicks + fills)) == 50
    assert math.isnan(groove_steadiness(a_piece([(0, BASS, 36)])))


def test_a_sequence_is_no_new_melody() -> None:
    scale = [60, 62, 64, 65, 67, 69, 71, 72]
    rising = a_piece([(index * 24, LEAD, 60 + index) for index in range(16)])
    wandering = a_piece([(index * 24, LEAD, scale[index * index % 8] + index % 3) for index in range(16)])
    assert melodic_novelty(rising) == pytest.approx(100 / 16)
    assert melodic_novelty(wandering) > melodic_novelty(rising)
    assert math.isnan(melodic_novelty(a_piece([(0, LEAD, 60)])))


def test_a_lead_is_missed_only_where_it_may_play() -> None:
    notes = [(index * BAR_TICKS, LEAD, 72) for index in range(4)]
    assert lead_presence(a_piece(notes)) == 50
    assert math.isnan(lead_presence(a_piece(notes, energy=0.4)))
    assert math.isnan(lead_presence(a_piece(notes, section="intro")))


@pytest.mark.parametrize(("root", "bass", "expected"), [(0, 36, 100), (0, 43, 0), (7, 36, 0)])
def test_an_ending_needs_the_tonic_in_chord_and_bass(root: int, bass: int, expected: float) -> None:
    last = 7 * BAR_TICKS
    piece = a_piece([(last, BASS, bass), (last, HARMONY, 64)], chords=[(0, 5), (last, root)])
    assert math.isnan(ends_on_tonic(piece))
    piece.bars[-1].beats_to_end = 0
    assert ends_on_tonic(piece) == expected
    later = a_piece([(last, BASS, bass), (last, HARMONY, 64), (last + 48, LEAD, 72)], chords=[(0, 5), (last, root)])
    later.bars[-1].beats_to_end = 0
    assert ends_on_tonic(later) == 0


def test_distance_is_nought_to_itself_in_any_key() -> None:
    piece = a_piece([(index * 24, LEAD, 60 + index % 5) for index in range(32)])
    higher = Piece(piece.notes.copy(), piece.chords, piece.bars, Key(2, "major"), piece.bpm)
    higher.notes["pitch"] += 2
    assert distance(piece, higher) == pytest.approx(0)
    assert distance(piece, a_piece([(index * 24, LEAD, 66) for index in range(32)])) == pytest.approx(1)


def test_obedience_is_a_rank_correlation() -> None:
    energy_to_notes = Obedience("energy → notes per beat", "energy", notes_per_beat)

    def at(level: int, count: int) -> Piece:
        return a_piece([(tick * 6, LEAD, 60) for tick in range(count)], energy=level / 10)

    assert obedience(energy_to_notes, [at(level, 2**level) for level in range(5)]) == pytest.approx(1)
    assert obedience(energy_to_notes, [at(level, 9 - level) for level in range(5)]) == pytest.approx(-1)
    assert obedience(energy_to_notes, [at(level, 4) for level in range(5)]) == 0


def test_an_excerpt_keeps_the_chord_that_sounds_into_it() -> None:
    piece = a_piece([(0, LEAD, 60), (5 * BAR_TICKS, LEAD, 62)], chords=[(0, 0), (3 * BAR_TICKS, 7)])
    part = excerpt(piece, 4, 8)
    assert part.notes["tick"].tolist() == [BAR_TICKS]
    assert [(int(chord["tick"]), int(chord["root"])) for chord in part.chords] == [(0, 7)]
    assert len(part.bars) == 4


def test_the_interval_holds_the_mean_and_ignores_what_is_unknown() -> None:
    interval = bootstrap([1.0, 2.0, float("nan"), 3.0])
    assert (interval.mean, interval.count) == (2.0, 3)
    assert 1 <= interval.low < 2 < interval.high <= 3
    assert bootstrap([float("nan")]).count == 0


def test_the_interval_of_a_statistic_is_drawn_over_seeds() -> None:
    seeds = [np.array([0.0, 1.0]), np.array([0.0, 3.0]), np.array([float("nan"), 1.0])]
    interval = bootstrap(seeds, lambda drawn: float(drawn.mean(axis=0)[1]))
    assert (interval.mean, interval.low, interval.high, interval.count) == (2, 1, 3, 2)
