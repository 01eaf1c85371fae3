"""Bars that return are found, and drawn as the model is to meet them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.score.vocabulary import BAR, EncodedPiece, encode_piece
from engine.training.arranger import arrange
from engine.training.returns import BARS_BACK, NEAREST, draw_sources, find_returns
from moods.intent import BEATS_PER_BAR, LANES


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
        source, strength = draw_sources(returns, rng)
        assert source.shape == strength.shape == (16, len(LANES))
        shown.append((source >= 0).mean())
        near += strength[source >= 0].tolist()
    assert 0.2 < np.mean(shown) < 0.8
    assert (np.histogram(near, bins=4, range=(0, 1))[0] > 0).all()
