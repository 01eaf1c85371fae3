"""The last bar of a piece that ends: the tonic, struck together and held. Writes into the Score; no state."""

from __future__ import annotations

from engine.notes import DRUM_PITCHES
from engine.training.arranger.bass import LOWEST as LOWEST_BASS
from engine.training.arranger.comping import CENTRE
from engine.training.arranger.harmony import voice_chord
from engine.training.arranger.melody import scale_ladder
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, velocity
from engine.training.arranger.score import Score

_PITCHES = {name: pitch for pitch, name in DRUM_PITCHES.items()}


def play_last_bar(score: Score, bar: BarPlan) -> None:
    """Strike the tonic chord on the first beat in every playing layer and hold it."""
    label, rng, tonic = bar.label, score.rng, score.key.tonic
    chord = bar.chord_at(0)

    def hold(layer: int, pitch: int, weight: float, length: int = TICKS_PER_BAR) -> None:
        score.add(bar.index, 0, length, layer, pitch, velocity(rng, label.energy, weight))

    if bar.playing[DRUMS]:
        groove = bar.idioms[DRUMS].grooves[0]
        names = ["kick", "crash"] if bar.idioms[DRUMS].crash else [next(iter(groove))]
        for name in names:
            hold(DRUMS, _PITCHES[name], 0.8, 6)
    if bar.playing[BASS]:
        hold(BASS, LOWEST_BASS + (tonic - LOWEST_BASS) % 12, 0.6)
    if bar.playing[HARMONY]:
        for pitch in voice_chord(chord, bar.idioms[HARMONY].voices, score.voicing, CENTRE + 4 * label.valence):
            hold(HARMONY, pitch, 0.2)
    if bar.playing[TEXTURE]:
        hold(TEXTURE, 60 + tonic, -0.2)
    if bar.playing[LEAD]:
        previous = score.lead_pitch or 69
        tonics = [pitch for pitch in scale_ladder(score.key, False) if pitch % 12 == tonic]
        hold(LEAD, min(tonics, key=lambda pitch: abs(pitch - previous)), 0.5)
