"""Bars that return are found, and drawn as the model is to meet them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.notes import NOTE
from engine.score.piece import CHORD, Bar, Piece
from engine.score.recall import recall_beats
from engine.score.vocabulary import BAR, CHORD_EVENT, EncodedPiece, encode_piece
from engine.training.arranger import arrange
from engine.training.returns import (
    BARS_BACK,
    LEAD,
    NEAREST,
    draw_sources,
    find_returns,
    scale_of,
    with_moved_leads,
)
from moods.harmony import Key
from moods.intent import BEATS_PER_BAR, LANES, LAYERS, STYLES


@pytest.fixture(scope="module")
def doubled() -> EncodedPiece:
    """Eight bars, then the same again."""
    piece = encode_piece(arrange("lofi", 2, num_bars=8))
    beats = 8 * BEATS_PER_BAR
    assert (piece.events[:, 0] == BAR).sum() == 8
    return EncodedPiece(
        np.concatenate([piece.events] * 2),
        np.concatenate([piece.beat_of_event, piece.beat_of_event + beats]),
        np.concatenate([piece.conditions] * 2),
    )


def test_a_repeated_bar_is_its_own_nearest(doubled) -> None:
    returns = find_returns(doubled)
    found = returns.source[8:, :, NEAREST]
    assert (returns.strength[8:, :, NEAREST][found >= 0] == 100).all()
    eight_back = returns.source[8:, :, BARS_BACK.index(8)]
    assert ((eight_back == np.arange(8)[:, None]) | (eight_back < 0)).all()
    assert (eight_back >= 0).any()


def test_nothing_returns_to_what_is_still_to_come(doubled) -> None:
    returns = find_returns(doubled)
    bars = np.arange(len(returns.source))[:, None, None]
    assert (returns.source < bars).all()
    assert (returns.source[0] == -1).all()


def test_draws_show_all_degrees_of_strength(doubled) -> None:
    returns, rng = find_returns(doubled), np.random.default_rng(0)
    shown, near = [], []
    for _ in range(200):
        source, strength, _ = draw_sources(returns, rng)
        assert source.shape == strength.shape == (16, len(LANES))
        shown.append((source >= 0).mean())
        near += strength[source >= 0].tolist()
    assert 0.2 < np.mean(shown) < 0.8
    assert (np.histogram(near, bins=4, range=(0, 1))[0] > 0).all()


def tune(*bars: str) -> EncodedPiece:
    """A lead in C major, a note a beat."""
    pitches = [60 + (0, 2, 4, 5, 7, 9, 11)["cdefgab".index(name)] for bar in bars for name in bar]
    notes = np.array([(24 * beat, 24, LAYERS.index("lead"), pitch, 80) for beat, pitch in enumerate(pitches)], NOTE)
    style = np.eye(len(STYLES), dtype=np.float32)[0]
    labels = [Bar(0, 0.5, 0.1, 0.5, style, "A", index) for index in range(len(bars))]
    return encode_piece(Piece(notes, np.zeros(0, CHORD), labels, Key(0, "major"), 100.0))


def test_a_bar_of_the_lead_that_is_moved_along_the_scale_is_found_and_shown_as_moved() -> None:
    piece = tune("cegd", "afda", "egbf")
    returns = find_returns(piece)
    assert returns.source[2, LEAD, NEAREST] == 0
    assert returns.strength[2, LEAD, NEAREST] == 100
    assert returns.steps[2, NEAREST] == 2
    events = piece.events.astype(np.int64)
    beats = np.arange(len(piece.conditions) + 1)
    sources = np.full((len(piece.conditions), len(LANES)), -1)
    sources[8:, LEAD] = range(4)
    shown = np.zeros_like(events)
    beat_starts = np.searchsorted(piece.beat_of_event, beats)
    moves = np.repeat([0, 0, 2], BEATS_PER_BAR)
    recall_beats(*with_moved_leads(events, beat_starts, sources, moves, scale_of(piece.conditions)), shown)
    played = np.flatnonzero((piece.beat_of_event >= 8) & (events[:, 0] == CHORD_EVENT + LEAD))
    assert len(played) == 4
    assert np.array_equal(shown[played - 1], events[played])  # what comes next is known before it is played
