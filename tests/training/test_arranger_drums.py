"""Laws of the arranger's rhythm section: cues are obeyed, hands are human, machines are exact, grooves hold."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from engine.notes import DRUM_PITCHES
from engine.score.piece import Piece
from engine.training.arranger import arrange
from engine.training.arranger.drums import learnt_voice
from engine.training.arranger.idioms import IDIOMS
from moods.intent import LAYERS, STYLES

pytestmark = pytest.mark.slow

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))
BAR_TICKS = 96
MACHINES = [style for style in STYLES if not IDIOMS[style].hand]


@pytest.fixture
def with_cues(monkeypatch: pytest.MonkeyPatch):
    """Arrange with all layers playing and the given cues in every fourth bar, none elsewhere."""
    module = sys.modules["engine.training.arranger.arrange"]
    draw_plan = module.draw_plan

    def arrange_with(style: str, seed: int, cues: tuple[str, ...]) -> Piece:
        def planned(*args, **kwargs):
            plan = draw_plan(*args, **kwargs)
            plan.ends = False
            for bar in plan.bars:
                bar.label.cues = cues if bar.index % 4 == 3 else ("none",) * 4
                bar.label.energy, bar.playing = 0.7, [True] * len(LAYERS)
            return plan

        monkeypatch.setattr(module, "draw_plan", planned)
        return arrange(style, seed)

    return arrange_with


def beat_of(piece: Piece, layer: int, bar: int, beat: int) -> npt.NDArray[np.void]:
    notes = piece.notes[piece.notes["layer"] == layer]
    start = bar * BAR_TICKS + beat * 24
    return notes[(notes["tick"] >= start) & (notes["tick"] < start + 24)]


@pytest.mark.parametrize("style", STYLES)
def test_a_hit_is_struck_together_and_a_cut_is_silent(with_cues, style: str) -> None:
    piece = with_cues(style, 3, ("none", "fill", "hit", "cut"))
    for bar in range(3, 32, 4):
        drums = beat_of(piece, DRUMS, bar, 2)
        assert (drums["tick"] == bar * BAR_TICKS + 48).all()
        struck = {DRUM_PITCHES[int(pitch)] for pitch in drums["pitch"]}
        assert struck in [set(idiom.hit) for idiom in IDIOMS.values()]  # a guest of another style may be the drummer
        chord = piece.chords[piece.chords["tick"] <= bar * BAR_TICKS + 48][-1]
        (bass,) = beat_of(piece, BASS, bar, 2)
        assert bass["tick"] == bar * BAR_TICKS + 48 and bass["pitch"] % 12 == chord["root"]
        harmony = beat_of(piece, HARMONY, bar, 2)
        assert len(harmony) >= 2 and (harmony["tick"] == bar * BAR_TICKS + 48).all()
        for layer in (DRUMS, BASS, HARMONY):
            assert not len(beat_of(piece, layer, bar, 3)), LAYERS[layer]
        assert bass["tick"] + bass["length"] <= bar * BAR_TICKS + 72


@pytest.mark.parametrize("style", STYLES)
def test_fills_are_where_the_cues_are(with_cues, style: str) -> None:
    """Fill beats have other strokes than the groove; in the bars without cues every beat of the groove comes again."""
    piece = with_cues(style, 4, ("none", "none", "fill", "fill"))
    fills = [beat_of(piece, DRUMS, bar, beat) for bar in range(3, 32, 4) for beat in (2, 3)]
    assert np.mean([len(fill) for fill in fills]) >= 1.5
    assert len({tuple((fill["tick"] % 24).tolist()) for fill in fills}) > 4


def strokes_from_grid(style: str) -> list[int]:
    deviations = []
    grid = np.array([*IDIOMS[style].grid, 24])
    for seed in range(12):
        notes = arrange(style, seed)
        for note in notes.notes[notes.notes["layer"] == DRUMS]:
            if all(cue == "none" for cue in notes.bars[int(note["tick"]) // BAR_TICKS].cues):
                distance = note["tick"] % 24 - grid
                deviations.append(int(distance[np.abs(distance).argmin()]))
    return deviations


def test_machines_stay_on_the_grid_and_hands_do_not() -> None:
    for style in ("house", "synthwave", "chiptune"):
        assert style in MACHINES
    for style in ("acoustic", "jazz", "lofi", "hiphop", "upbeat", "orchestral"):
        deviations = strokes_from_grid(style)
        assert 0.3 < np.std(deviations) < 1.5 and np.abs(deviations).max() <= 4, style


def test_a_groove_holds_within_its_section() -> None:
    same = []
    for style in STYLES:
        for seed in range(12):
            piece = arrange(style, seed)
            drums = piece.notes[piece.notes["layer"] == DRUMS]
            bars = [drums[drums["tick"] // BAR_TICKS == index] for index in range(len(piece.bars))]
            for (one, a), (other, b) in pairwise(zip(bars, piece.bars, strict=True)):
                is_steady = a.section == b.section and b.bar_in_section > 1 and a.energy == b.energy
                if len(one) and len(other) and is_steady and a.density == b.density and {*a.cues, *b.cues} == {"none"}:
                    same.append(sorted(one["pitch"]) == sorted(other["pitch"]))
    assert 0.6 < np.mean(same) < 0.9


def test_every_sound_is_played_like_a_voice_of_the_table() -> None:
    for name in DRUM_PITCHES.values():
        assert learnt_voice(name) in ("kick", "snare", "hat", "ride", "tom")
