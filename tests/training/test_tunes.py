"""What is said of tunes is what hand-made tunes have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.score.piece import Piece
from engine.training.evaluation import form, recurrence, texture, tunes
from engine.training.figures import BASS, HARMONY, LEAD
from engine.training.labels import BAR_TICKS
from tests.training.pieces import a_piece

NUM_BARS = 12
IDEA = ((0, 67), (18, 69), (48, 72), (60, 71), (84, 67))
"""A bar of lead: (tick, pitch)."""


def of_bars(bars: list[tuple[tuple[int, int], ...]]) -> Piece:
    """A lead of these bars, each note a sixteenth long."""
    notes = [(bar * BAR_TICKS + tick, LEAD, pitch) for bar, idea in enumerate(bars) for tick, pitch in idea]
    piece = a_piece(notes, len(bars))
    piece.notes["length"] = 6
    return piece


def moved(semitones: int, idea: tuple[tuple[int, int], ...] = IDEA) -> tuple[tuple[int, int], ...]:
    return tuple((tick, pitch + semitones) for tick, pitch in idea)


def wandering(seed: int = 0, num_bars: int = NUM_BARS) -> list[tuple[tuple[int, int], ...]]:
    """Bars of five notes that have nothing in common but chance."""
    rng = np.random.default_rng(seed)
    bars = []
    for _ in range(num_bars):
        ticks = np.sort(rng.choice(16, 5, replace=False)) * 6
        bars.append(tuple(zip(ticks.tolist(), rng.integers(60, 80, 5).tolist(), strict=True)))
    return bars


def test_a_motif_that_is_repeated_is_told_from_notes_that_wander() -> None:
    repeated, other = of_bars([IDEA] * NUM_BARS), of_bars(wandering())
    for measure in (recurrence.figures_again, recurrence.contours_again, recurrence.rhythms_again):
        assert measure(repeated) > 80
        assert measure(other) < 30
    assert recurrence.bar_rhythms_again(repeated) == 100
    assert recurrence.tune_again(repeated) == 100
    assert recurrence.tune_again(other) < 20
    assert recurrence.longest_tune_run(repeated) == NUM_BARS
    assert recurrence.longest_tune_run(other) == 1


def test_what_is_transposed_has_its_figures_and_is_a_sequence() -> None:
    rising = of_bars([moved(2 * bar) for bar in range(NUM_BARS)])
    same = of_bars([IDEA] * NUM_BARS)
    assert recurrence.figures_again(rising) > 30
    assert recurrence.sequences(rising) > 30
    assert recurrence.sequences(same) == 0


def test_a_sequence_may_take_the_steps_of_a_scale() -> None:
    # A third lower in C major: 67 69 72 71 67 → 64 65 69 67 64.
    lower = tuple((tick, pitch) for (tick, _), pitch in zip(IDEA, (64, 65, 69, 67, 64), strict=True))
    assert recurrence.sequences(of_bars([IDEA, lower, *wandering(1, 2)])) > 10
    assert recurrence.sequences(of_bars([IDEA, *wandering(1, 3)])) < 5
    assert recurrence.sequences(of_bars([IDEA, lower] * NUM_BARS)) < 5  # all but the first have been there before


def test_contour_outlives_its_intervals_and_rhythm_both() -> None:
    wider = tuple((tick, pitch + (tick == 48)) for tick, pitch in IDEA)  # 67 69 73 71 67
    bars = [IDEA, wider] * (NUM_BARS // 2)
    assert recurrence.figures_again(of_bars(bars)) > 50  # two bars back
    alone = of_bars([IDEA, wider, *wandering(2, 2)])
    assert recurrence.figures_again(alone) < recurrence.contours_again(alone)
    assert recurrence.varied(alone) > 20
    free = [tuple((tick, pitch) for (tick, _), (_, pitch) in zip(IDEA, bar, strict=True)) for bar in wandering(3)]
    assert recurrence.rhythms_again(of_bars(free)) > 80
    assert recurrence.figures_again(of_bars(free)) < 30


def test_a_passage_ends_after_sixteen_bars_of_lead() -> None:
    far = [IDEA, *wandering(4, recurrence.PASSAGE_BARS), IDEA]
    near = [IDEA, *wandering(4, recurrence.PASSAGE_BARS - 2), IDEA]
    assert recurrence.figures_again(of_bars(near)) > recurrence.figures_again(of_bars(far))


def test_a_reprise_is_found_after_minutes_in_any_key() -> None:
    theme = wandering(5, recurrence.THEME_BARS)
    between = wandering(6, 150)
    bars = [*theme, *between, *(moved(5, bar) for bar in theme), *wandering(7, 60)]
    returning, other = of_bars(bars), of_bars([*theme, *between, *wandering(8, 8), *wandering(7, 60)])
    assert recurrence.reprise(returning) == pytest.approx(1)
    assert recurrence.reprise(other) < 0.5
    assert math.isnan(recurrence.reprise(of_bars(theme)))


def test_one_rhythm_for_all_pieces_is_seen() -> None:
    assert recurrence.rhythms_in_common([of_bars([IDEA] * 4), of_bars([moved(3)] * 4)]) == [100]
    assert recurrence.rhythms_in_common([of_bars(wandering(9)), of_bars(wandering(10))])[0] < 20


def test_the_way_of_a_lead() -> None:
    pitches = (60, 62, 64, 64, 71, 69, 67, 65)  # steps: 5 of 7, one repeat, one leap
    piece = a_piece([(index * 24, LEAD, pitch) for index, pitch in enumerate(pitches)], 4)
    assert texture.stepwise(piece) == pytest.approx(500 / 7)
    assert texture.repeated(piece) == pytest.approx(100 / 7)
    assert texture.lead_pitch(piece) == 64.5
    assert texture.on_top_note(piece) == pytest.approx(100 / 8)
    assert texture.rests(piece) == 0
    assert (texture.phrase_notes(piece), texture.phrase_beats(piece)) == (8, 8)
    piece.notes["tick"][4:] += BAR_TICKS
    assert texture.phrase_notes(piece) == 4
    assert texture.lead_bars(piece) == 50
    assert math.isnan(texture.lead_pitch(a_piece([(0, BASS, 40)])))


def test_registers_are_shares_of_sounding_time() -> None:
    piece = a_piece([(0, HARMONY, 55), (0, LEAD, 75), (24, LEAD, 90)], 1)
    piece.notes["length"] = np.where(piece.notes["pitch"] == 55, 48, 24)
    assert texture.tenor_share(piece) == 50
    assert texture.high_share(piece) == 25


def test_roots_are_read_from_notes() -> None:
    def chords(roots: list[int]) -> Piece:
        notes = [
            (bar * BAR_TICKS, layer, pitch)
            for bar, root in enumerate(roots)
            for layer, pitch in ((BASS, 36 + root), *((HARMONY, 60 + root + tone) for tone in (0, 4, 7)))
        ]
        piece = a_piece(notes, len(roots))
        piece.notes["length"] = BAR_TICKS
        return piece

    fifths, thirds = chords([0, 7] * 4), chords([0, 8, 4, 0] * 2)
    assert texture.by_fifth(fifths) == 100
    assert texture.by_third(thirds) > 80
    assert texture.dominant_entries(chords([0, 5, 2, 7] * 2)) == 100
    assert texture.dominant_entries(fifths) == 100
    assert texture.dominant_entries(thirds) == 0


def test_minutes_that_are_alike_are_told_from_a_rise() -> None:
    even = [(bar * BAR_TICKS, BASS, 36) for bar in range(100)]
    late = [(bar * BAR_TICKS + 24 * beat, HARMONY, 60) for bar in range(75, 100) for beat in range(4)]
    assert texture.minutes_apart(a_piece(even, 100)) == pytest.approx(0)
    assert texture.minutes_apart(a_piece(even + late, 100)) > 50


def test_fewer_notes_alone_lie_no_farther_apart() -> None:
    def scattered(seed: int, notes_a_bar: int) -> Piece:
        rng = np.random.default_rng(seed)
        places = [(bar * BAR_TICKS + 6 * int(rng.integers(16)), HARMONY, int(rng.choice((60, 62, 64, 67, 69))))
                  for bar in range(8) for _ in range(notes_a_bar)]  # fmt: skip
        return a_piece(places)

    few, many = ([scattered(seed, count) for seed in range(6)] for count in (form.SPREAD_NOTES, 24))
    assert form.spread(few) == pytest.approx(form.spread(many), abs=0.06)
    assert form.spread([few[0], few[0]]) == pytest.approx(0)


def test_wrong_words_are_one_line() -> None:
    for words in (["--styles", "polkaa"], ["--seeds", "0"], ["--minutes", "900"]):
        with pytest.raises(SystemExit, match=r"^tunes: [^\n]+$"):
            tunes.main(words)
