"""The harmony layer: voice-led chords of up to four voices, and a cluster tone in tense bars.

Writes into the Score it is given; no state of its own."""

from __future__ import annotations

from engine.training.arranger.harmony import Chord, voice_chord
from engine.training.arranger.plan import HARMONY, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import STRUM_TICKS, Score

HIGHEST, CENTRE, MAX_VOICES = 79, 62, 4
_CLUSTER_TENSION, _HALF_TONE_TENSION = 0.3, 0.55


def play_chords(score: Score, bar: BarPlan, sounds_until: int) -> None:
    """Write one bar. A chord that still sounds is not struck again in thin bars; it may hold until the tick
    `sounds_until` of this bar, through bar lines."""
    idiom, label, rng = bar.idioms[HARMONY], bar.label, score.rng
    activity = bar.pitched_activity
    comp = score.choose_busy("harmony", bar, idiom.comps, activity, lambda comp: busyness(comp.row))
    voices = min(MAX_VOICES, max(2, round(idiom.voices - 0.9 + 1.6 * label.energy)))
    struck = hits(comp.row, 0, activity)
    if comp.gate >= 1.0:  # a held chord must change with the harmony, whatever its rhythm says
        starts = {chord.start // 6 for chord in bar.chords if chord.start > 0}
        struck = sorted({**{step: 0.2 for step in starts}, **dict(struck)}.items())
        if bar.chords[0].start < 0 and activity < 0.45 and score.chord_until > bar.index * TICKS_PER_BAR:
            struck = [(step, level) for step, level in struck if step > 0]
    ticks = [step_tick(step, idiom.grid) for step, _ in struck]
    for index, ((step, level), tick) in enumerate(zip(struck, ticks, strict=True)):
        chord = bar.chord_at(tick)
        voicing = voice_chord(chord, voices, score.voicing, CENTRE + 5 * label.valence)
        score.voicing = voicing
        until = ticks[index + 1] if index + 1 < len(ticks) else _release(chord, comp.gate, sounds_until)
        length = min(until, chord.start + chord.left) - tick
        score.chord_until = bar.index * TICKS_PER_BAR + tick + int(length * comp.gate)
        weight = accent(step) * 0.7 - 0.5 - level
        for voice, pitch in enumerate(_sharpen(score, bar, voicing)):
            delay = min(voice * comp.strum_ticks, STRUM_TICKS)
            score.add(
                bar.index, tick + delay, length * comp.gate - delay, HARMONY, pitch, velocity(rng, label.energy, weight)
            )


def _release(chord: Chord, gate: float, sounds_until: int) -> int:
    """Held chords last as long as the harmony, short ones to the bar line at most."""
    return sounds_until if gate >= 1.0 else TICKS_PER_BAR


def _sharpen(score: Score, bar: BarPlan, voicing: tuple[int, ...]) -> tuple[int, ...]:
    """The more tense the bar, the rather a voice gets its neighbour beside it: of the scale, then the half-tone."""
    tension = bar.label.tension
    if tension <= _CLUSTER_TENSION or score.rng.random() > tension or len(voicing) > MAX_VOICES:
        return voicing
    pitch = score.rng.choice(voicing) + 1
    while tension <= _HALF_TONE_TENSION and pitch % 12 not in score.key.pitch_classes:
        pitch += 1
    return tuple(sorted({*voicing, pitch})) if pitch <= HIGHEST else voicing
