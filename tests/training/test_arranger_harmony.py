"""Laws of the arranger's harmony and bass: loops follow the mood, phrases close, voices lead, roots are heard."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine.score.piece import Piece
from engine.training import figures
from engine.training.arranger import arrange
from engine.training.arranger.harmony import VOICINGS, Chord, voice_chord
from engine.training.arranger.idioms import IDIOMS
from engine.training.arranger.loops import draw_loop, is_inside
from moods.harmony import CHORD_QUALITIES, SCALES
from moods.intent import STYLES

pytestmark = pytest.mark.slow


@cache
def pieces(style: str) -> tuple[Piece, ...]:
    return tuple(arrange(style, seed) for seed in range(100, 130))


@pytest.mark.parametrize("style", STYLES)
def test_valence_is_heard_in_the_share_of_major_chords(style: str) -> None:
    figure = figures.Obedience("major chords", "valence", figures.major_share)
    assert figures.obedience(figure, pieces(style)) >= 0.5  # over these thirty; measured 0.8 over many


def test_tension_is_heard_as_dissonance() -> None:
    figure = figures.Obedience("dissonance", "tension", figures.dissonance)
    assert np.mean([figures.obedience(figure, pieces(style)) for style in STYLES]) >= 0.7


def test_only_drones_stay_on_the_tonic() -> None:
    for style in STYLES:
        share = np.mean([figures.tonic_share(piece) for piece in pieces(style)])
        assert 20 <= share <= (60 if "static" in IDIOMS[style].pools else 45), style


def test_sections_have_loops_of_their_own() -> None:
    differing = []
    for piece in [piece for style in STYLES for piece in pieces(style)]:
        roots, _ = figures.chords_of_beats(piece)
        starts = {
            bar.section: 4 * index for index, bar in reversed(list(enumerate(piece.bars))) if bar.bar_in_section == 0
        }
        if {"A", "B"} <= set(starts):
            first, second = (roots[starts[name] : starts[name] + 16].tolist() for name in "AB")
            differing.append(first != second)
    assert np.mean(differing) > 0.9


def test_phrases_of_orchestral_pieces_close_with_the_dominant_or_the_tonic() -> None:
    closes = []
    for piece in pieces("orchestral"):
        if piece.key.scale in ("major", "minor", "harmonic minor"):
            roots, _ = figures.chords_of_beats(piece)
            ends = [4 * index + 3 for index, bar in enumerate(piece.bars) if bar.bar_in_section % 4 == 3]
            closes += [(roots[beat] - piece.key.tonic) % 12 in (0, 7, 10, 11) for beat in ends if beat < len(roots)]
    assert np.mean(closes) > 0.7


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_bright_and_dark_loops_of_its_own_chords(scale: str) -> None:

    rng = random.Random(scale)
    shares: dict[float, list[float]] = {-1.0: [], 1.0: []}
    for valence in shares:
        for _ in range(40):
            loop = draw_loop(rng, ("pop", "modal", "moods", "songs"), scale, "A", valence, 0.2, 1, [])
            assert all(is_inside(step, scale) for step in loop)
            beats = sum(step.beats for step in loop)
            shares[valence].append(sum(s.beats for s in loop if 4 in CHORD_QUALITIES[s.triad]) / beats)
    assert np.mean(shares[1.0]) > np.mean(shares[-1.0]) + 0.1


@pytest.mark.parametrize("kind", VOICINGS)
def test_voices_move_little_and_keep_common_tones(kind: str) -> None:
    progression = [Chord(0, root, quality, 96) for root, quality in ((0, "maj7"), (9, "min7"), (2, "min7"), (7, "7"))]
    previous = voice_chord(progression[-1], 4, (), 62, (kind, "close"))
    moves = []
    for chord in progression * 2:
        voicing = voice_chord(chord, 4, previous, 62, (kind, "close"))
        assert {pitch % 12 for pitch in voicing} <= set(chord.pitch_classes)
        assert all(50 <= pitch <= 76 for pitch in voicing)
        moves.append(np.abs(np.subtract(voicing, previous)).mean())
        previous = voicing
    assert np.mean(moves) <= 2.5


def test_bass_plays_the_root_of_new_chords() -> None:
    """Pedal points are tense bars' own."""
    shares = []
    for style in STYLES:
        for piece in pieces(style):
            calm = [index for index, bar in enumerate(piece.bars) if bar.tension <= 0.6]
            for first, last in pairwise([calm[0], calm[-1] + 1] if len(calm) == len(piece.bars) else []):
                shares.append(figures.bass_on_root(figures.excerpt(piece, first, last)))
    assert np.nanmean(shares) >= 90


def test_a_brighter_section_is_heard_within_a_piece() -> None:
    valence, share = [], []
    for piece in [piece for style in STYLES for piece in pieces(style)]:
        _, qualities = figures.chords_of_beats(piece)
        is_major = np.array([4 in tones for tones in CHORD_QUALITIES.values()])[qualities].reshape(-1, 4).mean(axis=1)
        valence += [bar.valence for bar in piece.bars]
        share += is_major.tolist()
    bins = np.digitize(valence, np.linspace(-1, 1, 11)[1:-1])
    means = [np.mean(np.array(share)[bins == index]) for index in range(10)]
    assert spearmanr(range(10), means).statistic >= 0.9
