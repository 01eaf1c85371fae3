"""The example game, played by itself without a window and a loudspeaker: its music follows, and its wolves dance."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.streaming.conftest import Running

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pygame_game"


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import game
    import score

    for state in score.STATES.values():
        monkeypatch.setitem(state, "bpm", 240)  # a test has less time than a player
    return game


def test_wolves_step_on_the_beat_and_what_is_struck_off_it_comes_again(game) -> None:
    from world import Wolf, World

    world = World()
    world.wolves = [Wolf(world.x, world.y - 7)]
    world.move(0, 0, 0.1)
    assert world.happened == ["seen"] and world.is_fight
    for beat in (2, 3, 4, 2, 3, 4):
        before = world.wolves[0].y
        world.on_beat(beat)
        assert world.wolves[0].y == pytest.approx(before + 1)
    world.strike(is_on_beat=False)
    assert len(world.wolves) == 1
    for beat in (2, 3, 4, 1):
        world.on_beat(beat)
    assert world.hearts == 4
    world.strike(is_on_beat=True)
    assert world.happened[-2:] == ["struck", "won"]


def test_combat_victory_and_calm_are_heard(game, server: Running) -> None:
    heard = game.main(["--url", server.address, "--autoplay", "--seconds", "300", "--waves", "1"])
    assert {"combat", "victory", "explore"} <= set(heard), heard
    assert heard["waves"] >= 2 and heard["beats"] > 8
