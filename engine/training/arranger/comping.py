"""The harmony layer: voice-led chords of up to four voices, and a cluster tone in tense bars.

Writes into the Score it is given; no state of its own."""

from __future__ import annotations

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.cues import hit_ticks, may_begin, ticks_to_cut
from engine.training.arranger.harmony import Chord, voice_chord
from engine.training.arranger.idioms import Comp
from engine.training.arranger.plan import HARMONY, BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR, accent, busyness, hits, step_tick, velocity
from engine.training.arranger.score import STRUM_TICKS, Score

HIGHEST, CENTRE, MAX_VOICES = 79, 58, 4
_SHORTEST_CHORD = TICKS_PER_BEAT // 2
_CLUSTER_TENSION, _ALL_CLUSTERS, _HALF_TONE_TENSION, _THICK_TENSION = 0.12, 0.6, 0.55, 0.85


def play_chords(score: Score, bar: BarPlan, sounds_until: int) -> None:
    """Write one bar. A chord that still sounds is not struck again in thin bars; it may hold until the tick
    `sounds_until` of this bar, through bar lines. A hit is the whole chord, together; a cut ends it."""
    idiom, label, rng = bar.idioms[HARMONY], bar.label, score.rng
    comp = score.choose_busy("harmony", bar, idiom.comps, bar.pitched_activity, lambda comp: busyness(comp.row))
    struck = _struck(score, bar, comp)
    for index, (tick, weight) in enumerate(struck):
        is_hit = tick in hit_ticks(bar)
        chord = bar.chord_at(tick)
        voices = MAX_VOICES if is_hit else min(MAX_VOICES, max(2, round(idiom.voices - 0.9 + 1.6 * label.energy)))
        voicing = voice_chord(chord, voices, score.voicing, CENTRE + 4 * label.valence, idiom.voicings)
        score.voicing = voicing
        until = struck[index + 1][0] if index + 1 < len(struck) else _release(chord, comp.gate, sounds_until)
        length = min(min(until, chord.start + chord.left) - tick, ticks_to_cut(bar, tick))
        length = min(length, TICKS_PER_BAR - tick) if is_hit else length
        score.chord_until = bar.index * TICKS_PER_BAR + tick + int(length * comp.gate)
        for voice, pitch in enumerate(_sharpen(score, bar, voicing)):
            delay = 0 if is_hit else min(voice * comp.strum_ticks, STRUM_TICKS)
            loudness = velocity(rng, label.energy, weight)
            score.add(bar.index, tick + delay, length * comp.gate - delay, HARMONY, pitch, loudness)


def _struck(score: Score, bar: BarPlan, comp: Comp) -> list[tuple[int, float]]:
    """(tick, weight) of the bar's chords, in time order."""
    activity = bar.pitched_activity
    found = {
        step_tick(step, bar.idioms[HARMONY].grid): accent(step) * 0.7 - 0.5 - level
        for step, level in hits(comp.row, 0, activity)
    }
    if comp.gate >= 1.0:  # a held chord must change with the harmony, whatever its rhythm says
        found = {chord.start: -0.6 for chord in bar.chords if chord.start > 0} | found
        if bar.chords[0].start < 0 and activity < 0.45 and score.chord_until > bar.index * TICKS_PER_BAR:
            found.pop(0, None)
    found = {_unless_late(bar, tick): weight for tick, weight in found.items()}
    found = {tick: weight for tick, weight in found.items() if may_begin(bar, tick)}
    found |= dict.fromkeys(hit_ticks(bar), 1.6)
    return sorted(found.items())


def _unless_late(bar: BarPlan, tick: int) -> int:
    """The tick, or that of the next chord of the bar where it would leave the present one no time to sound."""
    return next((c.start for c in bar.chords if 0 < c.start - tick <= _SHORTEST_CHORD), tick)


def _release(chord: Chord, gate: float, sounds_until: int) -> int:
    """Held chords last as long as the harmony, short ones to the bar line at most."""
    return sounds_until if gate >= 1.0 else TICKS_PER_BAR


def _sharpen(score: Score, bar: BarPlan, voicing: tuple[int, ...]) -> tuple[int, ...]:
    """The more tense the bar, the rather a voice gets its neighbour beside it: of the scale, then the half-tone."""
    tension = bar.label.tension
    score.owed_clusters += max(0.0, min(1.0, (tension - _CLUSTER_TENSION) / _ALL_CLUSTERS))
    if len(voicing) > MAX_VOICES or score.owed_clusters < 1.0:
        return voicing
    score.owed_clusters -= 1.0
    free = [pitch + 1 for pitch in voicing if pitch + 1 <= HIGHEST and pitch + 1 not in voicing]
    inside = [pitch for pitch in free if pitch % 12 in score.key.pitch_classes]
    if tension <= _HALF_TONE_TENSION:  # the sharpest that the scale has: a half-tone if there is one, else a whole tone
        free = inside or [p + 2 for p in voicing if (p + 2) % 12 in score.key.pitch_classes and p + 2 <= HIGHEST]
    added = score.rng.sample(free, min(len(free), MAX_VOICES + 1 - len(voicing), 2 if tension > _THICK_TENSION else 1))
    return tuple(sorted({*voicing, *added}))
